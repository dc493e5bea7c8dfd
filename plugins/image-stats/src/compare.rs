//! Pictures against pictures: the data set's spread, and distances.

use crate::burnt::Burnt;
use crate::edges::BINS;
use crate::measure::Measures;
use oklab::{Lab, chi_squared};

/// What is known of one picture.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) measures: Measures,
    pub(crate) burnt: Burnt,
    /// Of the colours.
    pub(crate) histogram: Vec<f32>,
    /// Of the edges.
    pub(crate) edges: Vec<f32>,
}

/// What the data set's pictures are like together.
pub(crate) struct DataSet {
    /// (mean, standard deviation) of each number of [`features`].
    spread: [(f64, f64); 3],
    /// Mean colour histogram.
    histogram: Vec<f32>,
    /// Mean histogram of edges.
    edges: Vec<f32>,
    /// What its pictures usually have at most.
    pub(crate) burnt: Burnt,
}

/// Gaps above this are all the same kind of wrong.
const MAX_GAP: f64 = 5.0;
/// Least standard deviations: few alike pictures must not make every sample an outlier.
const FLOORS: [f64; 3] = [0.25, 0.03, 0.03];

impl DataSet {
    /// None without pictures.
    pub(crate) fn new(pictures: &[Look]) -> Option<Self> {
        let bins = pictures.first()?.histogram.len();
        let n = pictures.len() as f64;
        let mut spread = [(0.0, 0.0); 3];
        for (i, s) in spread.iter_mut().enumerate() {
            let values: Vec<f64> = pictures.iter().map(|p| features(&p.measures)[i]).collect();
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
            *s = (mean, variance.sqrt().max(FLOORS[i]));
        }
        let mean =
            |value: &dyn Fn(&Look) -> f32| (pictures.iter().map(|p| f64::from(value(p))).sum::<f64>() / n) as f32;
        Some(Self {
            spread,
            histogram: (0..bins).map(|b| mean(&|p| p.histogram[b])).collect(),
            edges: (0..BINS).map(|b| mean(&|p| p.edges[b])).collect(),
            burnt: Burnt::usual(pictures.iter().map(|p| p.burnt)),
        })
    }

    /// χ² distance between a picture's colours and the mean of the data set's, 0..=1.
    pub(crate) fn palette_distance(&self, histogram: &[f32]) -> f64 {
        chi_squared(&self.histogram, histogram).into()
    }

    /// χ² distance between a picture's edges and the mean of the data set's, 0..=1.
    pub(crate) fn edge_distance(&self, edges: &[f32]) -> f64 {
        chi_squared(&self.edges, edges).into()
    }

    /// How many standard deviations sharpness, clipping and saturation lie from the data set's, on average.
    pub(crate) fn gap(&self, m: &Measures) -> f64 {
        let gaps = features(m).into_iter().zip(self.spread).map(|(v, (mean, sd))| ((v - mean).abs() / sd).min(MAX_GAP));
        gaps.sum::<f64>() / 3.0
    }
}

/// Sharpness spans orders of magnitude, so its logarithm is compared.
fn features(m: &Measures) -> [f64; 3] {
    [log2(1.0 + m.sharpness), m.clipping, m.saturation]
}

/// Base-2 logarithm of a value of at least 1: the exponent, and the usual series for the rest. The maths library's
/// would differ in its last digit between wasm and native builds.
fn log2(value: f64) -> f64 {
    let (mut exponent, mut rest) = (0.0, value);
    while rest >= 2.0 {
        rest /= 2.0;
        exponent += 1.0;
    }
    // ln(r) = 2·artanh((r−1)/(r+1)), with |t| ≤ 1/3.
    let t = (rest - 1.0) / (rest + 1.0);
    let series: f64 = (0..20).rev().fold(0.0, |sum, k| sum * t * t + 1.0 / f64::from(2 * k + 1));
    exponent + 2.0 * t * series / std::f64::consts::LN_2
}

/// Mean OKLab distance of two pictures of the same size, pixel by pixel.
pub(crate) fn difference(a: &[Lab], b: &[Lab]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(p, q)| f64::from(p.distance(*q))).sum();
    sum / a.len().max(1) as f64
}

/// Mean distance over all pairs; none for fewer than two pictures.
pub(crate) fn mean_pairwise(pictures: &[Vec<Lab>]) -> Option<f64> {
    let mut distances = Vec::new();
    for (i, a) in pictures.iter().enumerate() {
        distances.extend(pictures[i + 1..].iter().map(|b| difference(a, b)));
    }
    (!distances.is_empty()).then(|| distances.iter().sum::<f64>() / distances.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_logarithms() {
        for v in [1.0, 1.5, 2.0, 3.0, 1e3, 123_456.7] {
            assert!((log2(v) - f64::log2(v)).abs() < 1e-12, "{v}");
        }
    }

    #[test]
    fn the_data_set_has_no_gap_to_itself() {
        let m = Measures { sharpness: 100.0, clipping: 0.1, saturation: 0.5 };
        let mut edges = vec![0.0; BINS];
        edges[0] = 1.0;
        let look = |histogram| Look { measures: m, burnt: Burnt::default(), histogram, edges: edges.clone() };
        let set = DataSet::new(&[look(vec![0.5, 0.5]), look(vec![1.0, 0.0])]).unwrap();
        assert_eq!((set.edge_distance(&edges), set.burnt), (0.0, Burnt::default()));
        assert_eq!(set.gap(&m), 0.0);
        assert_eq!(set.palette_distance(&[0.75, 0.25]), 0.0);
        let burnt = Measures { saturation: 0.56, ..m };
        assert!((set.gap(&burnt) - 2.0 / 3.0).abs() < 1e-9);
        let broken = Measures { sharpness: 1e9, clipping: 1.0, saturation: 1.0 };
        assert_eq!(set.gap(&broken), MAX_GAP);
        assert!(DataSet::new(&[]).is_none());
    }

    #[test]
    fn pairs() {
        let grey = |l: f32| vec![Lab { l, a: 0.0, b: 0.0 }; 4];
        assert_eq!(mean_pairwise(&[grey(0.2)]), None);
        let d = mean_pairwise(&[grey(0.0), grey(0.5), grey(1.0)]).unwrap();
        assert!((d - 2.0 / 3.0).abs() < 1e-6);
    }
}

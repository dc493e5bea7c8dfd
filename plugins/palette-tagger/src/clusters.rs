//! A few colours that stand for all pixels: k-means in OKLab, without chance.

use oklab::Lab;

/// A colour and the share of the pixels that are nearest to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cluster {
    pub(crate) colour: Lab,
    pub(crate) share: f32,
}

/// Lloyd's rounds; flat drawings settle in three or four.
const ROUNDS: usize = 8;
/// Centres nearer than this are one colour.
const SAME: f32 = 0.04;

/// At most `k` clusters, largest first. Starts from the mean and then always adds the pixel that is farthest from all
/// centres, so that equal pictures give equal clusters.
pub(crate) fn clusters(pixels: &[Lab], k: usize) -> Vec<Cluster> {
    if pixels.is_empty() {
        return Vec::new();
    }
    let mut centres = vec![mean(pixels.iter())];
    let mut distance: Vec<f32> = pixels.iter().map(|p| p.squared_distance(centres[0])).collect();
    while centres.len() < k {
        // The first of equal ones, so that the order of pixels decides and nothing else.
        let (at, far) =
            distance.iter().enumerate().fold((0, 0.0), |best, (i, &d)| if d > best.1 { (i, d) } else { best });
        if far < SAME * SAME {
            break;
        }
        let centre = pixels[at];
        centres.push(centre);
        for (d, p) in distance.iter_mut().zip(pixels) {
            *d = d.min(p.squared_distance(centre));
        }
    }
    let mut counts = vec![0_usize; centres.len()];
    for _ in 0..ROUNDS {
        let mut members: Vec<Vec<&Lab>> = vec![Vec::new(); centres.len()];
        for p in pixels {
            members[nearest(&centres, *p)].push(p);
        }
        let next: Vec<Lab> = members
            .iter()
            .zip(&centres)
            .map(|(m, old)| if m.is_empty() { *old } else { mean(m.iter().copied()) })
            .collect();
        counts = members.iter().map(Vec::len).collect();
        if next == centres {
            break;
        }
        centres = next;
    }
    let share = |n: usize| n as f32 / pixels.len() as f32;
    let mut out: Vec<Cluster> = centres
        .into_iter()
        .zip(counts)
        .filter(|(_, n)| *n > 0)
        .map(|(colour, n)| Cluster { colour, share: share(n) })
        .collect();
    out.sort_by(|a, b| b.share.total_cmp(&a.share));
    out
}

fn nearest(centres: &[Lab], p: Lab) -> usize {
    let mut best = (0, f32::INFINITY);
    for (i, c) in centres.iter().enumerate() {
        let d = c.squared_distance(p);
        if d < best.1 {
            best = (i, d);
        }
    }
    best.0
}

pub(crate) fn mean<'a>(pixels: impl Iterator<Item = &'a Lab>) -> Lab {
    let (mut sum, mut n) = ([0.0_f64; 3], 0_u32);
    for p in pixels {
        sum = [sum[0] + f64::from(p.l), sum[1] + f64::from(p.a), sum[2] + f64::from(p.b)];
        n += 1;
    }
    let n = f64::from(n.max(1));
    Lab { l: (sum[0] / n) as f32, a: (sum[1] / n) as f32, b: (sum[2] / n) as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oklab::Converter;

    #[test]
    fn flat_colours_are_found_exactly() {
        let c = Converter::new();
        let colours = [([200, 30, 30], 60), ([255, 255, 255], 30), ([20, 40, 160], 10)];
        let pixels: Vec<Lab> = colours.iter().flat_map(|(rgb, n)| vec![c.lab(*rgb); *n]).collect();
        let found = clusters(&pixels, 6);
        assert_eq!(found.len(), 3);
        for (cluster, (rgb, n)) in found.iter().zip(colours) {
            assert!(cluster.colour.distance(c.lab(rgb)) < 1e-3);
            assert!((cluster.share - n as f32 / 100.0).abs() < 1e-6);
        }
    }

    #[test]
    fn one_colour_is_one_cluster_and_nothing_is_none() {
        assert_eq!(clusters(&[Lab { l: 0.5, a: 0.0, b: 0.0 }; 9], 4).len(), 1);
        assert!(clusters(&[], 4).is_empty());
    }
}

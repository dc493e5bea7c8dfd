//! Fits of asymmetric generalised Gaussian distributions, by moments (Lasmar, Stitou and Berthoumieu 2009; equations 9 to 15 of
//! the paper on BRISQUE).

/// A fitted distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fit {
    /// Its shape: 2 is a normal distribution, 1 a Laplace one.
    pub(crate) shape: f64,
    /// Its mean.
    pub(crate) mean: f64,
    /// Variances of what is below and above 0.
    pub(crate) left: f64,
    pub(crate) right: f64,
}

/// Shapes that the release looks through.
const SHAPES: (f64, f64) = (0.2, 10.0);

/// Of some values; none if all are 0. Zeros belong to neither side, as in the release: whole areas of drawings are flat.
pub(crate) fn fit(values: impl Iterator<Item = f64>) -> Option<Fit> {
    let (mut n, mut sum) = (0u64, 0.0);
    let mut sides = [(0u64, 0.0); 2];
    for v in values {
        n += 1;
        sum += v.abs();
        if v != 0.0 {
            let (count, squares) = &mut sides[usize::from(v > 0.0)];
            *count += 1;
            *squares += v * v;
        }
    }
    let [left, right] = sides.map(|(count, squares)| if count > 0 { squares / count as f64 } else { 0.0 });
    let squares = (sides[0].1 + sides[1].1) / n as f64;
    if n == 0 || squares == 0.0 || !squares.is_finite() {
        return None;
    }
    let (l, r) = (left.sqrt(), right.sqrt());
    let mean = sum / n as f64;
    // The ratio of both sides, γ, and the symmetric ratio of moments, r; both multiplied by r's denominators, so that a side
    // without values is no division by 0.
    let sides = (l * l * l + r * r * r) * (l + r) / ((left + right) * (left + right));
    let shape = shape_of(mean * mean / squares * sides);
    Some(Fit { shape, mean: (r - l) * ratio(shape).sqrt(), left, right })
}

/// Γ(2/α)² / (Γ(1/α) Γ(3/α)): squared mean over mean square. It grows with α.
fn ratio(shape: f64) -> f64 {
    libm::exp(2.0 * libm::lgamma(2.0 / shape) - libm::lgamma(1.0 / shape) - libm::lgamma(3.0 / shape))
}

/// The shape that has this ratio, or the nearest end.
fn shape_of(wanted: f64) -> f64 {
    let (mut low, mut high) = SHAPES;
    // Halves of 10 down to a unit in the last place.
    for _ in 0..56 {
        let middle = (low + high) / 2.0;
        if ratio(middle) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_known_distributions() {
        // Laplace: 1/2. Normal: 2/π.
        assert!((ratio(1.0) - 0.5).abs() < 1e-12 && (ratio(2.0) - 2.0 / std::f64::consts::PI).abs() < 1e-12);
        for shape in [0.21, 0.5, 1.0, 3.3, 9.9] {
            assert!((shape_of(ratio(shape)) - shape).abs() < 1e-9, "{shape}");
        }
        assert!((shape_of(0.0) - 0.2).abs() < 1e-9 && (shape_of(1.0) - 10.0).abs() < 1e-9);
    }

    /// Places of a normal distribution, at equal steps of probability, by sums of its density.
    fn normal() -> Vec<f64> {
        let (mut below, mut out) = (0.0, Vec::new());
        let step = 1e-4;
        for i in 0..100_000 {
            let x = -5.0 + f64::from(i) * step;
            below += (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * step;
            while (out.len() as f64 + 0.5) / 4000.0 < below {
                out.push(x);
            }
        }
        out
    }

    #[test]
    fn normal_values_are_seen_as_such_and_sides_apart() {
        let values = normal();
        let plain = fit(values.iter().copied()).unwrap();
        assert!((plain.shape - 2.0).abs() < 0.02 && plain.mean.abs() < 1e-3, "{plain:?}");
        assert!((plain.left - 1.0).abs() < 0.01 && (plain.right - 1.0).abs() < 0.01, "{plain:?}");
        // The right side three times as wide.
        let skewed = fit(values.iter().map(|v| if *v > 0.0 { 3.0 * v } else { *v })).unwrap();
        assert!((skewed.right / skewed.left - 9.0).abs() < 0.1 && skewed.mean > 1.0, "{skewed:?}");
        // Zeros count among all, and on no side.
        let flat = fit(values.iter().copied().chain(std::iter::repeat_n(0.0, 4000))).unwrap();
        assert!((flat.left, flat.right) == (plain.left, plain.right) && flat.shape < 1.0, "{flat:?}");
    }

    #[test]
    fn what_has_no_shape_has_none() {
        assert_eq!(fit([].into_iter()), None);
        assert_eq!(fit([0.0; 9].into_iter()), None);
        let one_sided = fit([1.0, 2.0, 3.0].into_iter()).unwrap();
        assert!(one_sided.left == 0.0 && one_sided.right == 14.0 / 3.0 && one_sided.shape.is_finite());
        assert!(one_sided.mean.is_finite());
    }
}

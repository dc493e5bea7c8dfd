//! More steps at both ends of the table: quantiles of a beta distribution.

use super::{Schedule, to_zero};
use crate::SigmaTable;

pub(super) const BETA: Schedule =
    Schedule { name: "beta", source: "Lee et al. 2024 (arXiv:2407.12173), alpha = beta = 0.6", sigmas: beta };

const SHAPE: f64 = 0.6;

fn beta(table: &SigmaTable, steps: usize) -> Vec<f64> {
    with_shape(table, steps, SHAPE, SHAPE)
}

/// Entries of the table at quantiles of a beta distribution of any shape, both parameters above 0, and 0.
pub fn with_shape(table: &SigmaTable, steps: usize, alpha: f64, beta: f64) -> Vec<f64> {
    let quantiles = Quantiles::new(alpha, beta);
    let last = table.sigmas().len() - 1;
    let mut entries: Vec<usize> = (0..steps)
        .map(|i| (quantiles.at(1.0 - i as f64 / steps as f64) * last as f64).round_ties_even() as usize)
        .collect();
    entries.dedup();
    to_zero(entries.into_iter().map(|i| f64::from(table.sigmas()[i])))
}

/// The value below which the share `p` of this schedule's distribution lies, both from 0 to 1.
pub(crate) fn beta_quantiles(p: f64) -> f64 {
    Quantiles::new(SHAPE, SHAPE).at(p)
}

/// The inverse of a beta distribution.
struct Quantiles {
    alpha: f64,
    beta: f64,
    /// The integrals of the density, without its factor, from 0 to ½ and from ½ to 1.
    halves: (f64, f64),
}

impl Quantiles {
    fn new(alpha: f64, beta: f64) -> Self {
        Self { alpha, beta, halves: (incomplete(0.5, alpha, beta), incomplete(0.5, beta, alpha)) }
    }

    fn at(&self, p: f64) -> f64 {
        if p <= 0.0 || p >= 1.0 {
            return p.clamp(0.0, 1.0);
        }
        // By symmetry, and exactly: the middle may be a tie between two entries.
        if p == 0.5 && self.alpha == self.beta {
            return 0.5;
        }
        let (low, high) = self.halves;
        let whole = low + high;
        // The upper half is the lower one of the distribution turned around.
        if p * whole <= low {
            inverse(p * whole, self.alpha, self.beta)
        } else {
            1.0 - inverse((1.0 - p) * whole, self.beta, self.alpha)
        }
    }
}

/// Where the integral reaches `wanted`, in 0…½.
fn inverse(wanted: f64, alpha: f64, beta: f64) -> f64 {
    let (mut low, mut high) = (0.0, 0.5);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if incomplete(middle, alpha, beta) < wanted { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The integral of t^(α−1)·(1−t)^(β−1) from 0 to x ≤ ½, by the power series of (1−t)^(β−1).
fn incomplete(x: f64, alpha: f64, beta: f64) -> f64 {
    let (mut coefficient, mut power, mut sum) = (1.0, x.powf(alpha), 0.0);
    for n in 0..120 {
        let n = f64::from(n);
        sum += coefficient * power / (n + alpha);
        coefficient *= (n + 1.0 - beta) / (n + 1.0);
        power *= x;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.beta.ppf(p, a, b)`, scipy 1.17.
    #[test]
    fn quantiles_are_those_of_scipy() {
        for (p, alpha, beta, expected) in KNOWN {
            let found = Quantiles::new(*alpha, *beta).at(*p);
            assert!((found - expected).abs() < 1e-9, "{p} {alpha} {beta}: {found}");
        }
    }

    const KNOWN: &[(f64, f64, f64, f64)] = &[
        (0.3, 0.6, 0.6, 0.234017003875),
        (0.9, 0.6, 0.6, 0.960415594411),
        (0.2, 2.0, 0.5, 0.629849697132),
        (0.7, 2.0, 0.5, 0.958880517120),
        (0.4, 3.5, 8.0, 0.258879078335),
        (0.95, 1.0, 1.0, 0.950000000000),
    ];
}

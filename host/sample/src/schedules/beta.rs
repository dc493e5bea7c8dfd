//! More steps at both ends of the table: quantiles of a beta distribution.

use super::{Schedule, to_zero};
use crate::SigmaTable;

pub(super) const BETA: Schedule =
    Schedule { name: "beta", source: "Lee et al. 2024 (arXiv:2407.12173), alpha = beta = 0.6", sigmas: beta };

const SHAPE: f64 = 0.6;

fn beta(table: &SigmaTable, steps: usize) -> Vec<f64> {
    let quantiles = Quantiles::new();
    let last = table.sigmas().len() - 1;
    let mut entries: Vec<usize> = (0..steps)
        .map(|i| (quantiles.at(1.0 - i as f64 / steps as f64) * last as f64).round_ties_even() as usize)
        .collect();
    entries.dedup();
    to_zero(entries.into_iter().map(|i| f64::from(table.sigmas()[i])))
}

/// The value below which the share `p` of the distribution lies, both from 0 to 1.
pub(crate) fn beta_quantiles(p: f64) -> f64 {
    Quantiles::new().at(p)
}

/// The inverse of the distribution, which is symmetric: only its lower half is worked with.
struct Quantiles {
    half: f64,
}

impl Quantiles {
    fn new() -> Self {
        Self { half: incomplete(0.5) }
    }

    fn at(&self, p: f64) -> f64 {
        // By symmetry, and exactly: the middle may be a tie between two entries.
        if p == 0.5 {
            return 0.5;
        }
        if p > 0.5 {
            return 1.0 - self.at(1.0 - p);
        }
        // The whole integral is twice the half.
        let wanted = p * 2.0 * self.half;
        let (mut low, mut high) = (0.0, 0.5);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if incomplete(middle) < wanted { low = middle } else { high = middle }
        }
        (low + high) / 2.0
    }
}

/// The integral of (t·(1−t))^(SHAPE−1) from 0 to x ≤ ½, by the power series of (1−t)^(SHAPE−1).
fn incomplete(x: f64) -> f64 {
    let (mut coefficient, mut power, mut sum) = (1.0, x.powf(SHAPE), 0.0);
    for n in 0..80 {
        let n = f64::from(n);
        sum += coefficient * power / (n + SHAPE);
        coefficient *= (n + 1.0 - SHAPE) / (n + 1.0);
        power *= x;
    }
    sum
}

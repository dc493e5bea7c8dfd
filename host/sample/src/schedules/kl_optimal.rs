//! Even steps in the arc tangent of sigma.

use super::{Schedule, linspace, to_zero};
use crate::SigmaTable;

pub(super) const KL_OPTIMAL: Schedule =
    Schedule { name: "kl_optimal", source: "Sabour et al. 2024 (arXiv:2404.14507), Theorem 3.1", sigmas: kl_optimal };

fn kl_optimal(table: &SigmaTable, steps: usize) -> Vec<f64> {
    to_zero(linspace(table.max().atan(), table.min().atan(), steps).map(f64::tan))
}

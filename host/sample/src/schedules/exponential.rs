//! Even steps in the logarithm of sigma.

use super::{Schedule, linspace, to_zero};
use crate::SigmaTable;

pub(super) const EXPONENTIAL: Schedule =
    Schedule { name: "exponential", source: "k-diffusion, get_sigmas_exponential", sigmas: exponential };

fn exponential(table: &SigmaTable, steps: usize) -> Vec<f64> {
    to_zero(linspace(table.max().ln(), table.min().ln(), steps).map(f64::exp))
}

//! Even steps in the logarithm of sigma.

use super::{Schedule, linspace, to_zero};
use crate::SigmaTable;

pub(super) const EXPONENTIAL: Schedule =
    Schedule { name: "exponential", source: "k-diffusion, get_sigmas_exponential", sigmas: exponential };

fn exponential(table: &SigmaTable, steps: usize) -> Vec<f64> {
    between(table.max(), table.min(), steps)
}

/// Even steps in the logarithm of sigma between any two sigmas above 0, and 0.
pub fn between(max: f64, min: f64, steps: usize) -> Vec<f64> {
    to_zero(linspace(max.ln(), min.ln(), steps).map(f64::exp))
}

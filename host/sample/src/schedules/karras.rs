//! Even steps in the 7th root of sigma.

use super::{Schedule, linspace, to_zero};
use crate::SigmaTable;

pub(super) const KARRAS: Schedule =
    Schedule { name: "karras", source: "Karras et al. 2022 (arXiv:2206.00364), equation 5, rho 7", sigmas: karras };

const RHO: f64 = 7.0;

fn karras(table: &SigmaTable, steps: usize) -> Vec<f64> {
    between(table.max(), table.min(), RHO, steps)
}

/// Even steps in the `rho`th root of sigma between any two sigmas, and 0.
pub fn between(max: f64, min: f64, rho: f64, steps: usize) -> Vec<f64> {
    let root = |sigma: f64| sigma.powf(1.0 / rho);
    to_zero(linspace(root(max), root(min), steps).map(|x| x.powf(rho)))
}

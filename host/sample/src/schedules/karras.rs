//! Even steps in the 7th root of sigma.

use super::{Schedule, linspace, to_zero};
use crate::SigmaTable;

pub(super) const KARRAS: Schedule =
    Schedule { name: "karras", source: "Karras et al. 2022 (arXiv:2206.00364), equation 5, rho 7", sigmas: karras };

const RHO: f64 = 7.0;

fn karras(table: &SigmaTable, steps: usize) -> Vec<f64> {
    let root = |sigma: f64| sigma.powf(1.0 / RHO);
    to_zero(linspace(root(table.max()), root(table.min()), steps).map(|x| x.powf(RHO)))
}

//! Evenly spaced timesteps, both ends of the table included.

use super::{Schedule, linspace, to_zero};
use crate::SigmaTable;

pub(super) const NORMAL: Schedule = Schedule { name: "normal", source: "k-diffusion, get_sigmas", sigmas: normal };

fn normal(table: &SigmaTable, steps: usize) -> Vec<f64> {
    let (start, end) = (table.timestep(table.max()), table.timestep(table.min()));
    to_zero(linspace(start, end, steps).map(|t| table.sigma(t)))
}

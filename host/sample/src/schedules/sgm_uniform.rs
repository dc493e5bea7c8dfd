//! Evenly spaced timesteps without the lowest.

use super::{Schedule, linspace, to_zero};
use crate::SigmaTable;

pub(super) const SGM_UNIFORM: Schedule = Schedule {
    name: "sgm_uniform",
    source: "Stability AI, generative-models: LegacyDDPMDiscretization",
    sigmas: sgm_uniform,
};

fn sgm_uniform(table: &SigmaTable, steps: usize) -> Vec<f64> {
    let (start, end) = (table.timestep(table.max()), table.timestep(table.min()));
    to_zero(linspace(start, end, steps + 1).take(steps).map(|t| table.sigma(t)))
}

//! Entries of the table at a whole distance, from its bottom.

use super::Schedule;
use crate::SigmaTable;

pub(super) const DDIM_UNIFORM: Schedule = Schedule {
    name: "ddim_uniform",
    source: "Song et al. 2020 (arXiv:2010.02502) as in ComfyUI, ddim_scheduler: may have more steps than asked for",
    sigmas: ddim_uniform,
};

fn ddim_uniform(table: &SigmaTable, steps: usize) -> Vec<f64> {
    let distance = (table.sigmas().len() / steps).max(1);
    let mut sigmas: Vec<f64> = table.sigmas().iter().skip(1).step_by(distance).map(|&s| f64::from(s)).collect();
    sigmas.reverse();
    sigmas.push(0.0);
    sigmas
}

//! Entries of the table at even distances, from its top.

use super::{Schedule, to_zero};
use crate::SigmaTable;

pub(super) const SIMPLE: Schedule = Schedule { name: "simple", source: "ComfyUI, simple_scheduler", sigmas: simple };

fn simple(table: &SigmaTable, steps: usize) -> Vec<f64> {
    let sigmas = table.sigmas();
    let distance = sigmas.len() as f64 / steps as f64;
    // More steps than entries would visit some twice; a step of no length is left out.
    let mut picked: Vec<f64> =
        (0..steps).map(|i| f64::from(sigmas[sigmas.len() - 1 - (i as f64 * distance) as usize])).collect();
    picked.dedup();
    to_zero(picked.into_iter())
}

//! Half a cosine wave down to zero.

use super::{LrSchedule, rise};
use std::f64::consts::PI;

pub(crate) const COSINE: LrSchedule = LrSchedule {
    name: "cosine",
    summary: "half a cosine wave down to zero",
    source: "diffusers.optimization.get_cosine_schedule_with_warmup with num_cycles 0.5",
    rise,
    factor: |c, step| 0.5 * (1.0 + (PI * c.progress(step).min(1.0)).cos()),
};

//! Half cosine waves down to zero, one after the other, each from the full rate.

use super::{LrSchedule, rise};
use std::f64::consts::PI;

pub(crate) const COSINE_WITH_RESTARTS: LrSchedule = LrSchedule {
    name: "cosine_with_restarts",
    summary: "several half cosine waves, each from the full rate down to zero",
    source: "diffusers.optimization.get_cosine_with_hard_restarts_schedule_with_warmup",
    rise,
    factor: |c, step| {
        let progress = c.progress(step);
        if progress >= 1.0 { 0.0 } else { 0.5 * (1.0 + (PI * ((c.cycles * progress) % 1.0)).cos()) }
    },
};

//! Half a cosine wave that ends above zero.

use super::{LrSchedule, rise};
use std::f64::consts::PI;

pub(crate) const COSINE_WITH_MIN_LR: LrSchedule = LrSchedule {
    name: "cosine_with_min_lr",
    summary: "half a cosine wave down to the lowest rate (`lr_min_ratio`)",
    source: "transformers.optimization.get_cosine_with_min_lr_schedule_with_warmup",
    rise,
    factor: |c, step| {
        let wave = 0.5 * (1.0 + (PI * c.progress(step).min(1.0)).cos());
        wave * (1.0 - c.min_ratio) + c.min_ratio
    },
};

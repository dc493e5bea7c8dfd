//! The full rate for most of the run, then half a cosine wave down to the lowest rate.

use super::{Curve, LrSchedule};
use std::f64::consts::PI;

pub(crate) const WARMUP_STABLE_DECAY: LrSchedule = LrSchedule {
    name: "warmup_stable_decay",
    summary: "the full rate, then a fall over the last `lr_decay` of the steps to `lr_min_ratio`",
    source: "transformers.optimization.get_wsd_schedule, linear warm-up and cosine decay",
    rise: |c, step| lift(c, step / c.warmup.max(1) as f64),
    factor: |c, step| {
        let falling = step - c.total.saturating_sub(c.decay).max(c.warmup) as f64;
        if falling < 0.0 {
            return 1.0;
        }
        let share = falling / c.decay.max(1) as f64;
        if share >= 1.0 { c.min_ratio } else { lift(c, 0.5 * (1.0 + (PI * share).cos())) }
    },
};

/// A factor in 0..=1, raised so that 0 becomes the lowest rate.
fn lift(c: &Curve, factor: f64) -> f64 {
    factor * (1.0 - c.min_ratio) + c.min_ratio
}

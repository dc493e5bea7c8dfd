//! One over the square root of the steps since the warm-up.

use super::{LrSchedule, rise};

pub(crate) const INVERSE_SQRT: LrSchedule = LrSchedule {
    name: "inverse_sqrt",
    summary: "falls with the square root of the steps (`lr_timescale`); has no end",
    source: "transformers.optimization.get_inverse_sqrt_schedule",
    rise,
    factor: |c, step| {
        let default = if c.warmup > 0 { c.warmup } else { 10_000 };
        let timescale = c.timescale.unwrap_or(default).max(1) as f64;
        let shift = timescale - c.warmup as f64;
        (1.0 / ((step + shift) / timescale).sqrt()).min(1.0)
    },
};

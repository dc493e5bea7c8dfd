//! A straight line down to zero.

use super::{LrSchedule, rise};

pub(crate) const LINEAR: LrSchedule = LrSchedule {
    name: "linear",
    summary: "a straight line down to zero",
    source: "diffusers.optimization.get_linear_schedule_with_warmup",
    rise,
    factor: |c, step| (1.0 - c.progress(step)).max(0.0),
};

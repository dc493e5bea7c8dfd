//! The same rate all the time.

use super::{LrSchedule, rise};

pub(crate) const CONSTANT: LrSchedule = LrSchedule {
    name: "constant",
    summary: "the same rate all the time",
    source: "diffusers.optimization.get_constant_schedule_with_warmup",
    rise,
    factor: |_, _| 1.0,
};

//! A power of the share of steps that remain.

use super::{LrSchedule, rise};

/// Rate at the end, as in the source.
const LR_END: f64 = 1e-7;

pub(crate) const POLYNOMIAL: LrSchedule = LrSchedule {
    name: "polynomial",
    summary: "a power (`lr_power`) of the share of steps that remain",
    source: "diffusers.optimization.get_polynomial_decay_schedule_with_warmup with lr_end 1e-7",
    rise,
    factor: |c, step| {
        if step > c.total as f64 || c.lr <= LR_END {
            return (LR_END / c.lr).min(1.0);
        }
        let remaining = (1.0 - c.progress(step)).max(0.0);
        ((c.lr - LR_END) * remaining.powf(c.power) + LR_END) / c.lr
    },
};

//! Slowly at first, fast at the end.

use super::{LrSchedule, rise};

pub(crate) const REX: LrSchedule = LrSchedule {
    name: "rex",
    summary: "down to zero, slowly at first and fast at the end",
    source: "Chen et al. 2021, REX (arXiv:2107.04197)",
    rise,
    factor: |c, step| {
        let left = (1.0 - c.progress(step)).max(0.0);
        left / (0.5 + 0.5 * left)
    },
};

//! The Huber loss without its factor c: linear far out with slope 2.

use super::Loss;

pub(crate) const SMOOTH_L1: Loss = Loss {
    name: "smooth_l1",
    summary: "as huber, but with slope 2 far out whatever `huber_c` is",
    source: "sd-scripts, conditional_loss `smooth_l1`: 2·(sqrt(d² + c²) − c)",
    apply: |prediction, target, c| {
        let distance = (prediction - target)?.sqr()?.broadcast_add(&c.sqr()?)?.sqrt()?;
        distance.broadcast_sub(c)? * 2.0
    },
};

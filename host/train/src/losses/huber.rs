//! Square near zero, linear further out: outliers count less.

use super::Loss;

pub(crate) const HUBER: Loss = Loss {
    name: "huber",
    summary: "square near zero, linear beyond `huber_c`, so that outliers count less",
    source: "sd-scripts, conditional_loss `huber`: 2c·(sqrt(d² + c²) − c)",
    apply: |prediction, target, c| {
        let distance = (prediction - target)?.sqr()?.broadcast_add(&c.sqr()?)?.sqrt()?;
        distance.broadcast_sub(c)?.broadcast_mul(&(c * 2.0)?)
    },
};

//! Lion: steps of equal length for every weight, along the sign of a running mean.

use super::elementwise::Elementwise;
use super::{Optimizer, Settings};

pub(crate) const LION: Optimizer = Optimizer {
    name: "lion",
    summary: "sign of the momentum; use 3 to 10 times less learning rate than with adamw",
    source: "Chen et al. 2023 (arXiv:2302.06675), Program 1",
    defaults: Settings { betas: (0.9, 0.99), eps: 0.0, weight_decay: 0.0, momentum: 0.0 },
    build: |settings, lengths| Elementwise::boxed(settings, lion, &["mean"], lengths),
};

fn lion(s: &Settings, _t: u64, lr: f64, param: &mut [f32], grad: &[f32], state: &mut [Vec<f32>]) {
    let [mean] = state else { return };
    let (b1, b2) = (s.betas.0 as f32, s.betas.1 as f32);
    let (keep, rate) = ((1.0 - lr * s.weight_decay) as f32, lr as f32);
    for ((p, &g), m) in param.iter_mut().zip(grad).zip(mean) {
        let direction = *m * b1 + g * (1.0 - b1);
        // `f32::signum` gives 1 for zero; a weight without gradient must stay where it is.
        let sign = if direction == 0.0 { 0.0 } else { direction.signum() };
        *p = *p * keep - rate * sign;
        *m = *m * b2 + g * (1.0 - b2);
    }
}

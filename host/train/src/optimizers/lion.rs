//! Lion: steps of equal length for every weight, along the sign of a running mean.

use super::running::{Tensor, tensorwise};
use super::settings::{beta1, beta2, weight_decay};
use super::state::{Values, zeros};
use super::{Optimizer, Settings};

pub(crate) const LION: Optimizer = Optimizer {
    name: "lion",
    summary: "sign of the momentum; wants 3 to 10 times less learning rate than adamw",
    source: "Chen et al. 2023 (arXiv:2302.06675), Program 1",
    learning_rate: 1e-4,
    rates: (1e-8, 2e-3),
    knobs: &[beta1(0.9), beta2(0.99), weight_decay(0.0)],
    build: |settings, shapes| tensorwise(settings, shapes, layout, lion),
    ..Optimizer::PLAIN
};

pub(super) fn layout(shape: &[usize]) -> Vec<(&'static str, Values)> {
    vec![("mean", zeros(shape))]
}

pub(super) fn lion(s: &Settings, _t: u64, tensor: Tensor<'_>) {
    let Tensor { param, grad, kept, lr } = tensor;
    let [Values::F32(mean)] = kept.arrays.as_mut_slice() else { return };
    let keep = (1.0 - lr * s.number("weight_decay")) as f32;
    let (b1, b2) = s.betas();
    for ((p, &g), m) in param.iter_mut().zip(grad).zip(mean) {
        *p = *p * keep - lr as f32 * direction(*m, g, b1);
        *m = *m * b2 as f32 + g * (1.0 - b2) as f32;
    }
}

/// −1, 0 or 1: where a weight goes.
pub(super) fn direction(mean: f32, grad: f32, b1: f64) -> f32 {
    let along = mean * b1 as f32 + grad * (1.0 - b1) as f32;
    // `f32::signum` gives 1 for zero; a weight without gradient must stay where it is.
    if along == 0.0 { 0.0 } else { along.signum() }
}

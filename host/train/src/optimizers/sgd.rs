//! Stochastic gradient descent with momentum.

use super::running::{Tensor, tensorwise};
use super::settings::{knob, weight_decay};
use super::state::{Values, zeros};
use super::{Optimizer, Settings};
use anyhow::ensure;

pub(crate) const SGD: Optimizer = Optimizer {
    name: "sgd",
    summary: "plain gradient descent with Nesterov momentum; wants a much higher learning rate",
    source: "Sutskever et al. 2013, arithmetic order of torch.optim.SGD",
    learning_rate: 0.05,
    rates: (1e-4, 1e3),
    knobs: &[
        knob("momentum", 0.9, "share of the last update that is kept"),
        knob("dampening", 0.0, "share of the gradient that does not enter the momentum; only without Nesterov"),
        knob("nesterov", 1.0, "look ahead along the momentum (Nesterov)"),
        weight_decay(0.0),
    ],
    check: |s| {
        ensure!(!s.on("nesterov") || s.number("dampening") == 0.0, "`dampening` only goes without `nesterov`");
        Ok(())
    },
    build: |settings, shapes| tensorwise(settings, shapes, |shape| vec![("momentum", zeros(shape))], sgd),
    ..Optimizer::PLAIN
};

fn sgd(s: &Settings, t: u64, tensor: Tensor<'_>) {
    let Tensor { param, grad, kept, lr } = tensor;
    let [Values::F32(momentum)] = kept.arrays.as_mut_slice() else { return };
    let (decay, keep, rate) = (s.number("weight_decay") as f32, s.number("momentum") as f32, lr as f32);
    let (fresh, nesterov) = ((1.0 - s.number("dampening")) as f32, s.on("nesterov"));
    for ((p, &g), m) in param.iter_mut().zip(grad).zip(momentum) {
        let g = g + decay * *p;
        // The first gradient becomes the momentum as it is.
        *m = if t == 1 { g } else { *m * keep + fresh * g };
        *p -= rate * if nesterov { g + keep * *m } else { *m };
    }
}

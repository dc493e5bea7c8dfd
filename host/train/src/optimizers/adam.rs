//! Adam with weight decay as an L2 term of the loss.

use super::adamw::{adam, layout};
use super::running::{Tensor, tensorwise};
use super::settings::{beta1, beta2, eps, weight_decay};
use super::{Optimizer, Settings};

pub(crate) const ADAM: Optimizer = Optimizer {
    name: "adam",
    summary: "Adam; weight decay is added to the gradient",
    source: "Kingma and Ba 2015 (arXiv:1412.6980), arithmetic order of torch.optim.Adam",
    learning_rate: 5e-4,
    rates: (1e-7, 2e-2),
    knobs: &[beta1(0.9), beta2(0.999), eps(1e-8), weight_decay(0.0)],
    build: |settings, shapes| tensorwise(settings, shapes, layout, l2),
    ..Optimizer::PLAIN
};

fn l2(s: &Settings, t: u64, tensor: Tensor<'_>) {
    adam(s, t, tensor, 1.0, s.number("weight_decay") as f32);
}

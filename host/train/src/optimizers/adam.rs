//! Adam with weight decay as an L2 term of the loss.

use super::adamw::adam_update;
use super::elementwise::Elementwise;
use super::{Optimizer, Settings};

pub(crate) const ADAM: Optimizer = Optimizer {
    name: "adam",
    summary: "Adam; weight decay is added to the gradient",
    source: "Kingma and Ba 2015 (arXiv:1412.6980), arithmetic order of torch.optim.Adam",
    defaults: Settings { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, momentum: 0.0 },
    build: |settings, lengths| Elementwise::boxed(settings, adam, &["mean", "square"], lengths),
};

fn adam(s: &Settings, t: u64, lr: f64, param: &mut [f32], grad: &[f32], state: &mut [Vec<f32>]) {
    let decay = s.weight_decay as f32;
    let grad: Vec<f32> = grad.iter().zip(param.iter()).map(|(g, p)| g + decay * p).collect();
    adam_update(s, t, lr, param, &grad, state);
}

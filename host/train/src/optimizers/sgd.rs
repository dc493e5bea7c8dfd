//! Stochastic gradient descent with Nesterov momentum.

use super::elementwise::Elementwise;
use super::{Optimizer, Settings};

pub(crate) const SGD: Optimizer = Optimizer {
    name: "sgd",
    summary: "plain gradient descent with Nesterov momentum; wants a much higher learning rate",
    source: "Sutskever et al. 2013, arithmetic order of torch.optim.SGD with nesterov=True",
    defaults: Settings { betas: (0.0, 0.0), eps: 0.0, weight_decay: 0.0, momentum: 0.9 },
    build: |settings, lengths| Elementwise::boxed(settings, sgd, &["momentum"], lengths),
};

fn sgd(s: &Settings, t: u64, lr: f64, param: &mut [f32], grad: &[f32], state: &mut [Vec<f32>]) {
    let [momentum] = state else { return };
    let (decay, keep, rate) = (s.weight_decay as f32, s.momentum as f32, lr as f32);
    for ((p, &g), m) in param.iter_mut().zip(grad).zip(momentum) {
        let g = g + decay * *p;
        // The first gradient becomes the momentum as it is.
        *m = if t == 1 { g } else { *m * keep + g };
        *p -= rate * (g + keep * *m);
    }
}

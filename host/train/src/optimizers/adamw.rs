//! AdamW: Adam with weight decay that does not pass through the running means.

use super::elementwise::Elementwise;
use super::{Optimizer, Settings};

pub(crate) const ADAMW: Optimizer = Optimizer {
    name: "adamw",
    summary: "Adam with decoupled weight decay; the usual choice",
    source: "Loshchilov and Hutter 2019 (arXiv:1711.05101), arithmetic order of torch.optim.AdamW",
    defaults: Settings { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01, momentum: 0.0 },
    build: |settings, lengths| Elementwise::boxed(settings, adamw, &["mean", "square"], lengths),
};

fn adamw(s: &Settings, t: u64, lr: f64, param: &mut [f32], grad: &[f32], state: &mut [Vec<f32>]) {
    let keep = (1.0 - lr * s.weight_decay) as f32;
    for p in param.iter_mut() {
        *p *= keep;
    }
    adam_update(s, t, lr, param, grad, state);
}

/// Adam's update without any weight decay. Bias corrections are computed in f64 as torch does, elements in f32.
pub(super) fn adam_update(s: &Settings, t: u64, lr: f64, param: &mut [f32], grad: &[f32], state: &mut [Vec<f32>]) {
    let [mean, square] = state else { return };
    let (b1, b2) = s.betas;
    let (lerp, decay, fresh) = ((1.0 - b1) as f32, b2 as f32, (1.0 - b2) as f32);
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    let root = (1.0 - b2.powi(t)).sqrt() as f32;
    let rate = (-(lr / (1.0 - b1.powi(t)))) as f32;
    let eps = s.eps as f32;
    for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(mean).zip(square) {
        *m += lerp * (g - *m);
        *v = *v * decay + fresh * g * g;
        *p += rate * (*m / (v.sqrt() / root + eps));
    }
}

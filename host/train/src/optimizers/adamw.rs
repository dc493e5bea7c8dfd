//! AdamW: Adam with weight decay that does not pass through the running means.

use super::running::{Tensor, tensorwise};
use super::settings::{beta1, beta2, eps, weight_decay};
use super::state::{Values, zeros};
use super::{Optimizer, Settings};

pub(crate) const ADAMW: Optimizer = Optimizer {
    name: "adamw",
    summary: "Adam with decoupled weight decay; the usual choice",
    source: "Loshchilov and Hutter 2019 (arXiv:1711.05101), arithmetic order of torch.optim.AdamW",
    learning_rate: 5e-4,
    rates: (1e-7, 2e-2),
    knobs: &[beta1(0.9), beta2(0.999), eps(1e-8), weight_decay(0.01)],
    ..Optimizer::PLAIN
};

/// Arrays of Adam and its kin.
pub(super) fn layout(shape: &[usize]) -> Vec<(&'static str, Values)> {
    vec![("mean", zeros(shape)), ("square", zeros(shape))]
}

impl Optimizer {
    /// What most rows share: the rule is AdamW's.
    pub(super) const PLAIN: Self = Self {
        name: "",
        summary: "",
        source: "",
        learning_rate: 0.0,
        rates: (0.0, 1.0),
        schedule: "cosine_with_restarts",
        text_encoder: 0.5,
        averages: false,
        knobs: &[],
        check: |_| Ok(()),
        build: |settings, shapes| tensorwise(settings, shapes, layout, adamw),
    };
}

fn adamw(s: &Settings, t: u64, tensor: Tensor<'_>) {
    let keep = (1.0 - tensor.lr * s.number("weight_decay")) as f32;
    adam(s, t, tensor, keep, 0.0);
}

/// Adam's update. `keep` is what decoupled weight decay leaves of a weight, `l2` what is added of it to the gradient.
/// Bias corrections are computed in f64 as torch does, elements in f32.
pub(super) fn adam(s: &Settings, t: u64, tensor: Tensor<'_>, keep: f32, l2: f32) {
    let Tensor { param, grad, kept, lr } = tensor;
    let [Values::F32(mean), Values::F32(square)] = kept.arrays.as_mut_slice() else { return };
    let (b1, b2) = s.betas();
    let (lerp, decay, fresh) = ((1.0 - b1) as f32, b2 as f32, (1.0 - b2) as f32);
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    let root = (1.0 - b2.powi(t)).sqrt() as f32;
    let rate = (-(lr / (1.0 - b1.powi(t)))) as f32;
    let eps = s.number("eps") as f32;
    for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(mean).zip(square) {
        let g = g + l2 * *p;
        *m += lerp * (g - *m);
        *v = *v * decay + fresh * g * g;
        *p = *p * keep + rate * (*m / (v.sqrt() / root + eps));
    }
}

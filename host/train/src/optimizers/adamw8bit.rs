//! AdamW with its state in bytes.

use super::blockwise::{BLOCK, SIGNED, SMALLEST, UNSIGNED};
use super::running::{Tensor, fma, tensorwise};
use super::settings::{beta1, beta2, eps, weight_decay};
use super::state::Values;
use super::{Optimizer, Settings, adamw};

pub(crate) const ADAMW8BIT: Optimizer = Optimizer {
    name: "adamw8bit",
    summary: "adamw with a quarter of its state; tensors under 4096 numbers keep theirs in f32",
    source: "Dettmers et al. 2022 (arXiv:2110.02861), arithmetic order of bitsandbytes.optim.AdamW8bit on a processor",
    learning_rate: 5e-4,
    rates: (1e-7, 2e-2),
    knobs: &[beta1(0.9), beta2(0.999), eps(1e-8), weight_decay(0.01)],
    build: |settings, shapes| tensorwise(settings, shapes, layout, adamw8bit),
    ..Optimizer::PLAIN
};

fn layout(shape: &[usize]) -> Vec<(&'static str, Values)> {
    let n: usize = shape.iter().product();
    if n < SMALLEST {
        return adamw::layout(shape);
    }
    let (bytes, scales) = (Values::U8(vec![0; n]), Values::F32(vec![0.0; n.div_ceil(BLOCK)]));
    vec![("mean", bytes.clone()), ("mean_scale", scales.clone()), ("square", bytes), ("square_scale", scales)]
}

/// Numbers of one update.
struct Update {
    b1: f32,
    fresh1: f32,
    b2: f32,
    fresh2: f32,
    keep: f32,
    rate: f32,
    root: f32,
    eps: f32,
}

impl Update {
    fn apply(&self, param: &mut [f32], grad: &[f32], mean: &mut [f32], square: &mut [f32]) {
        for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(mean).zip(square) {
            *m = fma(g, self.fresh1, *m * self.b1);
            *v = fma(self.fresh2 * g, g, *v * self.b2);
            *p = *p * self.keep + self.rate * (*m / (v.sqrt() / self.root + self.eps));
        }
    }
}

fn adamw8bit(s: &Settings, t: u64, tensor: Tensor<'_>) {
    let Tensor { param, grad, kept, lr } = tensor;
    let (b1, b2) = s.betas();
    let t = i32::try_from(t).unwrap_or(i32::MAX);
    let update = Update {
        b1: b1 as f32,
        fresh1: (1.0 - b1) as f32,
        b2: b2 as f32,
        fresh2: (1.0 - b2) as f32,
        keep: (1.0 - lr * s.number("weight_decay")) as f32,
        rate: (-lr / (1.0 - b1.powi(t))) as f32,
        root: (1.0 - b2.powi(t)).sqrt() as f32,
        eps: s.number("eps") as f32,
    };
    let (mean, mean_scale, square, square_scale) = match kept.arrays.as_mut_slice() {
        [Values::F32(mean), Values::F32(square)] => return update.apply(param, grad, mean, square),
        [Values::U8(m), Values::F32(ms), Values::U8(v), Values::F32(vs)] => (m, ms, v, vs),
        _ => return,
    };
    let (mut m, mut v) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
    let blocks = param.chunks_mut(BLOCK).zip(grad.chunks(BLOCK));
    let bytes = mean.chunks_mut(BLOCK).zip(square.chunks_mut(BLOCK));
    let scales = mean_scale.iter_mut().zip(square_scale);
    for (((param, grad), (mean, square)), (mean_scale, square_scale)) in blocks.zip(bytes).zip(scales) {
        let (m, v) = (&mut m[..param.len()], &mut v[..param.len()]);
        SIGNED.widen(mean, *mean_scale, m);
        UNSIGNED.widen(square, *square_scale, v);
        update.apply(param, grad, m, v);
        *mean_scale = SIGNED.quantise(m, mean);
        *square_scale = UNSIGNED.quantise(v, square);
    }
}

//! Lion with its state in bytes.

use super::blockwise::{BLOCK, SIGNED, SMALLEST};
use super::lion::{self, direction};
use super::running::{Tensor, fma, tensorwise};
use super::settings::{beta1, beta2, weight_decay};
use super::state::Values;
use super::{Optimizer, Settings};

pub(crate) const LION8BIT: Optimizer = Optimizer {
    name: "lion8bit",
    summary: "lion with a quarter of its state; tensors under 4096 numbers keep theirs in f32",
    source: "Chen et al. 2023 (arXiv:2302.06675), arithmetic order of bitsandbytes.optim.Lion8bit on a processor",
    learning_rate: 1e-4,
    rates: (1e-8, 2e-3),
    knobs: &[beta1(0.9), beta2(0.99), weight_decay(0.0)],
    build: |settings, shapes| tensorwise(settings, shapes, layout, lion8bit),
    ..Optimizer::PLAIN
};

fn layout(shape: &[usize]) -> Vec<(&'static str, Values)> {
    let n: usize = shape.iter().product();
    if n < SMALLEST {
        return lion::layout(shape);
    }
    vec![("mean", Values::U8(vec![0; n])), ("mean_scale", Values::F32(vec![0.0; n.div_ceil(BLOCK)]))]
}

fn lion8bit(s: &Settings, t: u64, tensor: Tensor<'_>) {
    if matches!(tensor.kept.arrays.as_slice(), [Values::F32(_)]) {
        return lion::lion(s, t, tensor);
    }
    let Tensor { param, grad, kept, lr } = tensor;
    let [Values::U8(mean), Values::F32(scales)] = kept.arrays.as_mut_slice() else { return };
    let keep = (1.0 - lr * s.number("weight_decay")) as f32;
    let (b1, b2) = s.betas();
    let mut numbers = [0.0f32; BLOCK];
    let blocks = param.chunks_mut(BLOCK).zip(grad.chunks(BLOCK)).zip(mean.chunks_mut(BLOCK)).zip(scales);
    for (((param, grad), mean), scale) in blocks {
        let numbers = &mut numbers[..param.len()];
        SIGNED.widen(mean, *scale, numbers);
        for ((p, &g), m) in param.iter_mut().zip(grad).zip(numbers.iter_mut()) {
            *p = *p * keep - lr as f32 * direction(*m, g, b1);
            *m = fma(g, (1.0 - b2) as f32, *m * b2 as f32);
        }
        *scale = SIGNED.quantise(numbers, mean);
    }
}

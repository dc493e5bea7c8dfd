//! Layer normalisation over the last dimension (Ba et al. 2016, arXiv:1607.06450), with frozen weight and bias.

use super::simd::simd;
use super::values::{self, read};
use super::{over, portable};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// `(x - mean) / √(variance + eps) · weight + bias` over the last dimension of `x` (…, c).
pub fn layer_norm(x: &Tensor, weight: &Arc<[f32]>, bias: &Arc<[f32]>, eps: f32) -> Result<Tensor> {
    let c = weight.len();
    if x.dims().last() != Some(&c) || bias.len() != c || c == 0 {
        bail!("expected an input (…, {c}) of a layer norm, found {:?}", x.shape());
    }
    if portable::takes(x) {
        return portable::layer_norm(x, weight, bias, eps);
    }
    x.contiguous()?.apply_op1(LayerNorm { weight: weight.clone(), bias: bias.clone(), eps })
}

/// The same, written over `x`; see [`super::over`].
pub fn layer_norm_over(x: Tensor, weight: &Arc<[f32]>, bias: &Arc<[f32]>, eps: f32) -> Result<Tensor> {
    let c = weight.len();
    if !over::alone(&x) || x.dims().last() != Some(&c) || bias.len() != c || c == 0 {
        return layer_norm(&x, weight, bias, eps);
    }
    over::over(x, ROWS * c, |_, x| normalise_over(x, weight, bias, eps))
}

struct LayerNorm {
    weight: Arc<[f32]>,
    bias: Arc<[f32]>,
    eps: f32,
}

/// Rows that one thread does at a time.
const ROWS: usize = 32;

simd! {
    fn normalise(out: &mut [f32], x: &[f32], weight: &[f32], bias: &[f32], eps: f32) {
        let c = weight.len();
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            let (mean, inverse) = statistics(x, eps);
            for (((out, x), w), b) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                *out = (x - mean) * inverse * w + b;
            }
        }
    }
}

simd! {
    fn normalise_over(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
        for x in x.chunks_exact_mut(weight.len()) {
            let (mean, inverse) = statistics(x, eps);
            for ((x, w), b) in x.iter_mut().zip(weight).zip(bias) {
                *x = (*x - mean) * inverse * w + b;
            }
        }
    }
}

simd! {
    fn gradient(dx: &mut [f32], x: &[f32], grad: &[f32], weight: &[f32], eps: f32) {
        let c = weight.len();
        for ((dx, x), g) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(grad.chunks_exact(c)) {
            let (mean, inverse) = statistics(x, eps);
            let plain = sum(c, |i| g[i] * weight[i]) / c as f32;
            let along = sum(c, |i| g[i] * weight[i] * (x[i] - mean)) * inverse / c as f32;
            for (((dx, x), g), w) in dx.iter_mut().zip(x).zip(g).zip(weight) {
                *dx = inverse * (g * w - plain - (x - mean) * inverse * along);
            }
        }
    }
}

/// A sum in 8 interleaved parts, which the compiler may add side by side.
#[inline(always)]
fn sum(n: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut parts = [0f32; 8];
    let whole = n / 8 * 8;
    for i in (0..whole).step_by(8) {
        for (j, part) in parts.iter_mut().enumerate() {
            *part += value(i + j);
        }
    }
    parts.iter().sum::<f32>() + (whole..n).map(value).sum::<f32>()
}

#[inline(always)]
fn statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum(x.len(), |i| x[i]) / x.len() as f32;
    let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values::of(x, layout)?;
        let mut out = vec![0.0; x.len()];
        values::in_chunks(&mut out, ROWS * self.weight.len(), |at, out| {
            normalise(out, &x[at..at + out.len()], &self.weight, &self.bias, self.eps);
        });
        Ok(values::storage(out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        read!(x as xs, grad as gs);
        let mut dx = vec![0.0; xs.len()];
        values::in_chunks(&mut dx, ROWS * self.weight.len(), |at, dx| {
            let to = at + dx.len();
            gradient(dx, &xs[at..to], &gs[at..to], &self.weight, self.eps);
        });
        Ok(Some(values::tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, gradients_match, random};

    #[test]
    fn matches_the_definition_in_value_and_gradient() -> Result<()> {
        for c in [1, 5, 24, 96] {
            let (w, b) = (random(c, 1)?, random(c, 2)?);
            let (ws, bs): (Arc<[f32]>, Arc<[f32]>) = (w.to_vec1()?.into(), b.to_vec1()?.into());
            gradients_match(
                &[random((3, 50, c), 3)?],
                |a| layer_norm(&a[0], &ws, &bs, 1e-3),
                |a| {
                    let centred = a[0].broadcast_sub(&a[0].mean_keepdim(2)?)?;
                    let deviation = (centred.sqr()?.mean_keepdim(2)? + 1e-3)?.sqrt()?;
                    centred.broadcast_div(&deviation)?.broadcast_mul(&w)?.broadcast_add(&b)
                },
            )?;
            let x = random((3, 50, c), 4)?;
            let over = layer_norm_over(x.force_contiguous()?, &ws, &bs, 1e-3)?;
            close(&over, &layer_norm(&x, &ws, &bs, 1e-3)?, 0.0)?;
        }
        Ok(())
    }
}

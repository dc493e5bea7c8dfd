//! Root mean square normalisation over the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467), with a frozen
//! weight: of T5's layers, and of Flux's queries and keys.

use super::simd::simd;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// `x / √(mean(x²) + eps) · weight` over the last dimension of `x` (…, c).
pub fn rms_norm(x: &Tensor, weight: &Arc<[f32]>, eps: f32) -> Result<Tensor> {
    let c = weight.len();
    if x.dims().last() != Some(&c) || c == 0 {
        bail!("expected an input (…, {c}) of a root mean square norm, found {:?}", x.shape());
    }
    if super::portable::takes(x) {
        let weight = Tensor::new(&**weight, x.device())?;
        let size = (x.sqr()?.mean_keepdim(x.rank() - 1)? + f64::from(eps))?.sqrt()?;
        return x.broadcast_div(&size)?.broadcast_mul(&weight);
    }
    x.contiguous()?.apply_op1(RmsNorm { weight: weight.clone(), eps })
}

struct RmsNorm {
    weight: Arc<[f32]>,
    eps: f32,
}

/// Values that one thread does at a time, about.
const CHUNK: usize = 1 << 13;

simd! {
    fn normalise(out: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
        let c = weight.len();
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            let inverse = inverse_size(x, eps);
            for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                *out = x * inverse * w;
            }
        }
    }
}

simd! {
    fn gradient(dx: &mut [f32], x: &[f32], grad: &[f32], weight: &[f32], eps: f32) {
        let c = weight.len();
        for ((dx, x), g) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(grad.chunks_exact(c)) {
            let inverse = inverse_size(x, eps);
            let along = sum(c, |i| g[i] * weight[i] * x[i]) * inverse * inverse / c as f32;
            for (((dx, x), g), w) in dx.iter_mut().zip(x).zip(g).zip(weight) {
                *dx = inverse * (g * w - x * along);
            }
        }
    }
}

#[inline(always)]
fn inverse_size(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum(x.len(), |i| x[i] * x[i]) / x.len() as f32 + eps).sqrt()
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

impl RmsNorm {
    /// Values of whole rows that one thread does at a time.
    fn chunk(&self) -> usize {
        CHUNK.div_ceil(self.weight.len()) * self.weight.len()
    }
}

impl CustomOp1 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values::of(x, layout)?;
        let mut out = vec![0.0; x.len()];
        values::in_chunks(&mut out, self.chunk(), |at, out| {
            normalise(out, &x[at..at + out.len()], &self.weight, self.eps);
        });
        Ok(values::storage(out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        read!(x as xs, grad as gs);
        let mut dx = vec![0.0; xs.len()];
        values::in_chunks(&mut dx, self.chunk(), |at, dx| {
            let to = at + dx.len();
            gradient(dx, &xs[at..to], &gs[at..to], &self.weight, self.eps);
        });
        Ok(Some(values::tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{gradients_match, random};

    #[test]
    fn matches_the_definition_in_value_and_gradient() -> Result<()> {
        for c in [1, 5, 12, 128] {
            let w = random(c, 1)?;
            let ws: Arc<[f32]> = w.to_vec1()?.into();
            gradients_match(
                &[random((3, 50, c), 3)?],
                |a| rms_norm(&a[0], &ws, 1e-3),
                |a| {
                    let size = (a[0].sqr()?.mean_keepdim(2)? + 1e-3)?.sqrt()?;
                    a[0].broadcast_div(&size)?.broadcast_mul(&w)
                },
            )?;
        }
        assert!(rms_norm(&random((2, 3), 1)?, &vec![1.0; 4].into(), 1e-6).is_err());
        Ok(())
    }
}

//! Elementwise activations and the gated GELU of the transformer's feed-forward, each one pass forward and one back.

use super::math;
use super::portable;
use super::simd::simd;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

/// x·sigmoid(x).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    if portable::takes(x) {
        return x.silu();
    }
    x.contiguous()?.apply_op1(Activation { name: "silu", value: silu_loop, slope: silu_slope_loop })
}

/// x·Φ(x), the exact GELU.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    if portable::takes(x) {
        return x.gelu_erf();
    }
    x.contiguous()?.apply_op1(Activation { name: "gelu", value: gelu_loop, slope: gelu_slope_loop })
}

/// The approximate GELU with a hyperbolic tangent, of T5 (`gelu_new`) and Flux.
pub fn gelu_tanh(x: &Tensor) -> Result<Tensor> {
    if portable::takes(x) {
        return x.gelu();
    }
    x.contiguous()?.apply_op1(Activation { name: "gelu-tanh", value: gelu_tanh_loop, slope: gelu_tanh_slope_loop })
}

/// x·sigmoid(1.702 x), the GELU of OpenAI's CLIP.
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    if portable::takes(x) {
        return portable::quick_gelu(x);
    }
    x.contiguous()?.apply_op1(Activation { name: "quick-gelu", value: quick_gelu_loop, slope: quick_gelu_slope_loop })
}

/// `a · gelu(gate)` for `x` (…, 2f) = [a, gate] → (…, f) (Shazeer 2020, arXiv:2002.05202; halves as in diffusers).
pub fn geglu(x: &Tensor) -> Result<Tensor> {
    match x.dims().last() {
        Some(&width) if width > 0 && width % 2 == 0 && portable::takes(x) => portable::geglu(x),
        Some(&width) if width > 0 && width % 2 == 0 => x.contiguous()?.apply_op1(Geglu { half: width / 2 }),
        _ => bail!("expected an even last dimension, found {:?}", x.shape()),
    }
}

macro_rules! loops {
    ($($value:ident $slope:ident: $f:expr, $df:expr;)*) => { $(
        simd! {
            fn $value(out: &mut [f32], x: &[f32]) {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = $f(x);
                }
            }
        }
        simd! {
            fn $slope(out: &mut [f32], x: &[f32], grad: &[f32]) {
                for ((out, &x), g) in out.iter_mut().zip(x).zip(grad) {
                    *out = g * $df(x);
                }
            }
        }
    )* };
}

#[inline(always)]
fn silu_value(x: f32) -> f32 {
    x * math::sigmoid(x)
}

loops! {
    silu_loop silu_slope_loop: silu_value, math::silu_slope;
    gelu_loop gelu_slope_loop: math::gelu, math::gelu_slope;
    gelu_tanh_loop gelu_tanh_slope_loop: math::gelu_tanh, math::gelu_tanh_slope;
    quick_gelu_loop quick_gelu_slope_loop: math::quick_gelu, math::quick_gelu_slope;
}

struct Activation {
    name: &'static str,
    value: fn(&mut [f32], &[f32]),
    slope: fn(&mut [f32], &[f32], &[f32]),
}

const CHUNK: usize = 1 << 13;

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values::of(x, layout)?;
        let mut out = vec![0.0; x.len()];
        values::in_chunks(&mut out, CHUNK, |at, out| (self.value)(out, &x[at..at + out.len()]));
        Ok(values::storage(out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        read!(x as xs, grad as gs);
        let mut dx = vec![0.0; xs.len()];
        values::in_chunks(&mut dx, CHUNK, |at, dx| {
            (self.slope)(dx, &xs[at..at + dx.len()], &gs[at..at + dx.len()]);
        });
        Ok(Some(values::tensor(dx, x.shape())?))
    }
}

struct Geglu {
    half: usize,
}

simd! {
    fn geglu_loop(out: &mut [f32], x: &[f32], half: usize) {
        for (out, x) in out.chunks_exact_mut(half).zip(x.chunks_exact(2 * half)) {
            let (a, gate) = x.split_at(half);
            for ((out, a), &gate) in out.iter_mut().zip(a).zip(gate) {
                *out = a * math::gelu(gate);
            }
        }
    }
}

simd! {
    fn geglu_slope_loop(dx: &mut [f32], x: &[f32], grad: &[f32], half: usize) {
        for ((dx, x), g) in dx.chunks_exact_mut(2 * half).zip(x.chunks_exact(2 * half)).zip(grad.chunks_exact(half)) {
            let ((da, dgate), (a, gate)) = (dx.split_at_mut(half), x.split_at(half));
            for i in 0..half {
                da[i] = g[i] * math::gelu(gate[i]);
                dgate[i] = g[i] * a[i] * math::gelu_slope(gate[i]);
            }
        }
    }
}

impl CustomOp1 for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values::of(x, layout)?;
        let mut out = vec![0.0; x.len() / 2];
        let chunk = (CHUNK / self.half).max(1) * self.half;
        values::in_chunks(&mut out, chunk, |at, out| geglu_loop(out, &x[2 * at..2 * (at + out.len())], self.half));
        let mut dims = layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.half;
        }
        Ok(values::storage(out, dims))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        read!(x as xs, grad as gs);
        let mut dx = vec![0.0; xs.len()];
        let chunk = (CHUNK / self.half).max(1) * 2 * self.half;
        values::in_chunks(&mut dx, chunk, |at, dx| {
            let to = at + dx.len();
            geglu_slope_loop(dx, &xs[at..to], &gs[at / 2..to / 2], self.half);
        });
        Ok(Some(values::tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{gradients_match, random};

    fn wide(shape: (usize, usize, usize)) -> Result<[Tensor; 1]> {
        Ok([(random(shape, 1)? * 4.0)?])
    }

    #[test]
    fn activations_match_candle() -> Result<()> {
        let x = wide((3, 7, 1700))?;
        gradients_match(&x, |a| silu(&a[0]), |a| a[0].silu())?;
        gradients_match(&x, |a| gelu(&a[0]), |a| a[0].gelu_erf())?;
        gradients_match(&x, |a| gelu_tanh(&a[0]), |a| a[0].gelu())?;
        let composed = |a: &[Tensor]| &a[0] * (((&a[0] * -1.702)?.exp()? + 1.0)?.recip()?);
        gradients_match(&x, |a| quick_gelu(&a[0]), composed)?;
        gradients_match(&x, |a| silu(&a[0].transpose(1, 2)?), |a| a[0].transpose(1, 2)?.contiguous()?.silu())
    }

    #[test]
    fn geglu_takes_value_then_gate() -> Result<()> {
        let composed = |a: &[Tensor]| {
            let half = a[0].dim(2)? / 2;
            a[0].narrow(2, 0, half)? * a[0].narrow(2, half, half)?.contiguous()?.gelu_erf()?
        };
        for width in [2, 34, 20_000] {
            gradients_match(&wide((2, 5, width))?, |a| geglu(&a[0]), composed)?;
        }
        assert!(geglu(&random((2, 3), 1)?).is_err());
        Ok(())
    }
}

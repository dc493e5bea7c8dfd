//! Operations that write their result over an argument, for networks that only run: a large value less is asked for, filled
//! with zeros and given back. They take what nobody else reads any more, as a layer's fresh output. Where a gradient will be
//! asked for, and on other devices, they are the usual operations.

use super::activation::{gelu, gelu_tanh, silu};
use super::values::{self, read};
use super::{math, portable};
use crate::ops::simd::simd;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};

/// Values of one thread at a time.
const CHUNK: usize = 1 << 13;

/// As [`gelu`], written over `x`.
pub fn gelu_over(x: Tensor) -> Result<Tensor> {
    if !alone(&x) {
        return gelu(&x);
    }
    over(x, CHUNK, |_, x| gelu_loop(x))
}

/// As [`gelu_tanh`], written over `x`.
pub fn gelu_tanh_over(x: Tensor) -> Result<Tensor> {
    if !alone(&x) {
        return gelu_tanh(&x);
    }
    over(x, CHUNK, |_, x| gelu_tanh_loop(x))
}

/// `silu(gate) · x`, written over `gate`.
pub fn swiglu_over(gate: Tensor, x: &Tensor) -> Result<Tensor> {
    if !alone(&gate) || x.track_op() || x.dims() != gate.dims() {
        return silu(&gate)? * x;
    }
    let x = x.contiguous()?;
    read!(x as xs);
    over(gate, CHUNK, |at, gate| swiglu_loop(gate, &xs[at..at + gate.len()]))
}

/// `x + y`, written over `x`.
pub fn add_over(x: Tensor, y: &Tensor) -> Result<Tensor> {
    if !alone(&x) || y.track_op() || x.dims() != y.dims() {
        return x + y;
    }
    let y = y.contiguous()?;
    read!(y as ys);
    over(x, CHUNK, |at, x| add_loop(x, &ys[at..at + x.len()]))
}

/// Whether nothing but this value is needed of it.
pub(super) fn alone(x: &Tensor) -> bool {
    !portable::takes(x) && !x.track_op() && x.is_contiguous()
}

/// Calls `f` with pieces of `x` of `chunk` values, and each piece's first index.
pub(super) fn over(x: Tensor, chunk: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> Result<Tensor> {
    x.inplace_op1(&Over { chunk, f })?;
    Ok(x)
}

struct Over<F> {
    chunk: usize,
    f: F,
}

impl<F: Fn(usize, &mut [f32]) + Sync> InplaceOp1 for Over<F> {
    fn name(&self) -> &'static str {
        "over"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        values::in_chunks(values::of_mut(storage, layout)?, self.chunk, &self.f);
        Ok(())
    }
}

simd! {
    fn gelu_loop(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = math::gelu(*x));
    }
}

simd! {
    fn gelu_tanh_loop(x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x = math::gelu_tanh(*x));
    }
}

simd! {
    fn swiglu_loop(gate: &mut [f32], x: &[f32]) {
        for (gate, x) in gate.iter_mut().zip(x) {
            *gate = *gate * math::sigmoid(*gate) * x;
        }
    }
}

simd! {
    fn add_loop(x: &mut [f32], y: &[f32]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, random};
    use candle_core::Var;

    #[test]
    fn they_are_the_usual_operations() -> Result<()> {
        let wide = |seed| random((3, 7, 1700), seed)? * 4.0;
        let (x, y) = (wide(1)?, wide(2)?);
        let copy = || x.force_contiguous();
        close(&gelu_over(copy()?)?, &gelu(&x)?, 0.0)?;
        close(&gelu_tanh_over(copy()?)?, &gelu_tanh(&x)?, 0.0)?;
        close(&swiglu_over(copy()?, &y)?, &(silu(&x)? * &y)?, 0.0)?;
        close(&add_over(copy()?, &y)?, &(&x + &y)?, 0.0)?;
        // A part of a larger value, and one that is read across.
        let part = y.narrow(0, 1, 1)?;
        close(&add_over(x.narrow(0, 2, 1)?.force_contiguous()?, &part)?, &(x.narrow(0, 2, 1)? + &part)?, 0.0)?;
        let across = random((3, 1700, 7), 3)?.transpose(1, 2)?;
        close(&swiglu_over(copy()?, &across)?, &(silu(&x)? * &across)?, 0.0)?;
        assert!(add_over(copy()?, &part.narrow(1, 0, 3)?).is_err());
        Ok(())
    }

    #[test]
    fn what_is_trained_is_not_written_over() -> Result<()> {
        let x = Var::from_tensor(&random((2, 30), 1)?)?;
        let before = x.as_tensor().force_contiguous()?;
        let y = (x.as_tensor() * 1.0)?;
        let kept = y.force_contiguous()?;
        let gradient = gelu_over(y.clone())?.sum_all()?.backward()?;
        let wanted = gelu(x.as_tensor())?.sum_all()?.backward()?;
        close(&y, &kept, 0.0)?;
        close(x.as_tensor(), &before, 0.0)?;
        let of = |gradients: &candle_core::backprop::GradStore| gradients.get(x.as_tensor()).cloned();
        let (Some(found), Some(wanted)) = (of(&gradient), of(&wanted)) else { candle_core::bail!("no gradient") };
        close(&found, &wanted, 1e-6)
    }
}

//! Normalisations out of candle's elementwise operations and means.

use super::check;
use candle_core::{D, Result, Tensor};
use std::sync::Arc;

/// As [`crate::ops::layer_norm`].
pub(in crate::ops) fn layer_norm(x: &Tensor, weight: &Arc<[f32]>, bias: &Arc<[f32]>, eps: f32) -> Result<Tensor> {
    check(x)?;
    affine(&standard(x, f64::from(eps))?, weight, bias)
}

/// As [`crate::ops::group_norm`].
pub(in crate::ops) fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Arc<[f32]>,
    bias: &Arc<[f32]>,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    check(x)?;
    let c = weight.len();
    let b = x.dim(0)?;
    let pixels = x.elem_count() / (b * c).max(1);
    // (b, groups, pixels, c / groups) → (b, groups, pixels · c / groups)
    let parts = x.contiguous()?.reshape((b, pixels, groups, c / groups))?.transpose(1, 2)?.contiguous()?;
    let standard = standard(&parts.reshape((b, groups, ()))?, eps)?;
    let standard = standard.reshape((b, groups, pixels, c / groups))?.transpose(1, 2)?.contiguous()?;
    let y = affine(&standard.reshape(x.shape())?, weight, bias)?;
    if silu { y.silu() } else { Ok(y) }
}

/// Mean 0 and variance 1 over the last dimension.
fn standard(x: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    centred.broadcast_div(&deviation)
}

fn affine(x: &Tensor, weight: &Arc<[f32]>, bias: &Arc<[f32]>) -> Result<Tensor> {
    let (weight, bias) = (Tensor::new(&**weight, x.device())?, Tensor::new(&**bias, x.device())?);
    x.broadcast_mul(&weight)?.broadcast_add(&bias)
}

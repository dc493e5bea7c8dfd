//! What the nodes for batches share.

use crate::image::resize;
use anyhow::Result;
use candle_core::Tensor;

/// The first `count` of a batch that is repeated until it has as many.
pub(super) fn repeat_to(batch: &Tensor, count: usize) -> Result<Tensor> {
    let there = batch.dim(0)?;
    let mut times = vec![1; batch.rank()];
    times[0] = count.div_ceil(there.max(1));
    Ok(batch.repeat(times)?.narrow(0, 0, count)?)
}

/// `x` at the size of `other`, and as many (ComfyUI, `reshape_latent_to`).
pub(super) fn like(other: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (b, _, h, w) = other.dims4()?;
    let same = x.dims()[1..] == other.dims()[1..];
    let x = if same { x.clone() } else { resize(x, models::interpolation("bilinear")?, h, w, true)? };
    repeat_to(&x, b)
}

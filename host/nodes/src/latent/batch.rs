//! What the nodes for batches share.

use crate::image::resize;
use crate::types::Latent;
use anyhow::{Context as _, Result, bail};
use candle_core::Tensor;
use std::sync::Arc;

/// One batch of all, at the size of the first and with its mask. `name` is that of each one's input.
pub(super) fn joined(latents: &[Arc<Latent>], name: impl Fn(usize) -> String) -> Result<Latent> {
    let first = latents.first().context("no latents")?;
    let (_, c, h, w) = first.samples.dims4()?;
    let (mut all, mut numbers) = (Vec::new(), Vec::new());
    for (i, latent) in latents.iter().enumerate() {
        let mut samples = latent.samples.clone();
        let found = samples.dim(1)?;
        if found != c {
            let (first, this) = (name(0), name(i));
            bail!("{first} has {c} channels, {this} has {found}: they belong to different families");
        }
        if samples.dims()[2..] != [h, w] {
            samples = resize(&samples, models::interpolation("bilinear")?, h, w, true)?;
        }
        all.push(samples);
        numbers.extend(latent.numbers()?);
    }
    let samples = Tensor::cat(&all, 0)?;
    Ok(Latent { samples, noise_mask: first.noise_mask.clone(), batch_index: Some(numbers) })
}

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

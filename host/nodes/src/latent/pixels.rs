//! Between latents and pictures.

use super::batch::repeat_to;
use crate::types::VaeModel;
use anyhow::{Result, bail};
use candle_core::{DType, Tensor};
use engine::Context;
use models::Tiling;

/// Latents (b, c, h, w) as pictures (3, H, W), red first, 0…1.
pub(crate) fn decode(vae: &VaeModel, samples: &Tensor) -> Result<Vec<Tensor>> {
    check_channels(vae, samples)?;
    pictures(&vae.vae.decode(samples)?)
}

/// Latents of another family are told as such.
pub(super) fn check_channels(vae: &VaeModel, samples: &Tensor) -> Result<()> {
    let (takes, found) = (vae.vae.config().latent_channels, samples.dim(1)?);
    if takes != found {
        bail!(
            "expected latents of {takes} channels, found {found}: the autoencoder belongs to another family than the \
             network or the empty latent"
        );
    }
    Ok(())
}

/// What the autoencoder gives, (b, 3, h, w) in about −1…1, as pictures (3, h, w) of 0…1.
pub(super) fn pictures(decoded: &Tensor) -> Result<Vec<Tensor>> {
    let pixels = ((decoded + 1.0)? / 2.0)?.clamp(0f32, 1f32)?;
    Ok((0..pixels.dim(0)?).map(|i| pixels.get(i)).collect::<candle_core::Result<_>>()?)
}

/// Pictures (b, 3, H, W) of 0…1 as latents (b, c, h, w): the means of what the encoder gives. ComfyUI draws a sample
/// around them, which makes no difference that one sees, and another one each time.
pub(super) fn encode(vae: &VaeModel, pixels: &Tensor) -> Result<Tensor> {
    let (mean, _) = vae.vae.encode(&((pixels * 2.0)? - 1.0)?)?;
    Ok(mean)
}

/// The centre of pictures (b, c, H, W), with sides that `factor` divides.
pub(crate) fn crop(pixels: &Tensor, factor: usize) -> Result<Tensor> {
    let (_, _, h, w) = pixels.dims4()?;
    if h < factor || w < factor {
        bail!("{w}×{h} is too small: both sides must be at least {factor}");
    }
    let (top, left) = (h % factor / 2, w % factor / 2);
    Ok(pixels.narrow(2, top, h / factor * factor)?.narrow(3, left, w / factor * factor)?.contiguous()?)
}

/// Pictures (b, 3, H, W) of 0…1 that are grey where a mask (m, 1, H, W) is white.
pub(crate) fn grey_out(pixels: &Tensor, mask: &Tensor) -> Result<Tensor> {
    // torch rounds a half to zero.
    let outside = (1.0 - mask.gt(0.5f32)?.to_dtype(DType::F32)?)?;
    let outside = repeat_to(&outside, pixels.dim(0)?)?;
    Ok(((pixels - 0.5)?.broadcast_mul(&outside)? + 0.5)?)
}

/// Through the autoencoder in tiles of three shapes, wide, high and square, so that the seams of one are hidden by the
/// others (ComfyUI, `VAE.decode_tiled_`).
pub(super) fn three_ways(
    ctx: &Context,
    x: &Tensor,
    tiling: Tiling,
    what: &str,
    run: impl Fn(&Tensor) -> models::Result<Tensor>,
) -> Result<Tensor> {
    let (b, _, h, w) = x.dims4()?;
    let (th, tw) = tiling.tile;
    let shapes = [(th * 2, tw / 2), (th / 2, tw * 2), (th, tw)].map(|tile| Tiling { tile, ..tiling });
    let total = (b * shapes.iter().map(|t| t.count(h, w)).sum::<usize>()) as u64;
    let (mut done, mut sum) = (0, x.zeros_like()?);
    for (i, shape) in shapes.iter().enumerate() {
        let part = shape.run(x, &mut |tile| {
            if ctx.cancelled() {
                return Err(models::Error::Unsupported("cancelled".into()));
            }
            done += 1;
            ctx.progress(done, total, what);
            run(tile)
        });
        ctx.check_cancelled()?;
        sum = if i == 0 { part? } else { (sum + part?)? };
    }
    Ok((sum / shapes.len() as f64)?)
}

use super::batch::repeat_to;
use super::pixels::crop;
use super::vae_encode::encode_pixels;
use crate::image::same_size;
use crate::types::{ImageBatch, Latent, Mask, VaeModel};
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns pictures into latents whose masked part is to be made anew: there the picture is grey.
#[derive(Inputs)]
pub(crate) struct VAEEncodeForInpaint {
    /// The pictures, all of one size.
    pixels: Arc<ImageBatch>,
    /// The autoencoder of the base that goes on.
    vae: Arc<VaeModel>,
    /// Where the picture is made anew.
    mask: Arc<Mask>,
    /// By how many pixels the mask grows, so that no seam stays.
    #[input(default = 6, range = 0..=64)]
    grow_mask_by: u32,
}

impl TypedNode for VAEEncodeForInpaint {
    const ID: &'static str = "VAEEncodeForInpaint";
    const CATEGORY: &'static str = "latent/inpaint";
    const DISPLAY_NAME: &'static str = "VAE Encode (for Inpainting)";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let factor = self.vae.vae.config().factor();
        let pixels = same_size(&self.pixels)?;
        let (b, _, h, w) = pixels.dims4()?;
        // (m, 1, H, W), 0 or 1
        let mask = models::interpolation("bilinear")?.resize(&self.mask.0.unsqueeze(1)?, h, w)?;
        let mask = crop(&mask, factor)?.round()?;
        let pixels = crop(&pixels, factor)?;
        let outside = repeat_to(&(1.0 - &mask)?, b)?;
        let pixels = ((pixels - 0.5)?.broadcast_mul(&outside)? + 0.5)?;
        let samples = encode_pixels(ctx, &self.vae, &pixels)?;
        let noise_mask = Some(grow(&mask, self.grow_mask_by as usize)?);
        Ok(Arc::new(Latent { noise_mask, ..Latent::new(samples) }))
    }
}

/// 1 where any of the `by`×`by` pixels around is, in masks (b, 1, h, w). An even square reaches one pixel further up and
/// left than down and right.
fn grow(mask: &Tensor, by: usize) -> anyhow::Result<Tensor> {
    if by == 0 {
        return Ok(mask.clone());
    }
    let (b, c, h, w) = mask.dims4()?;
    let values = mask.flatten_all()?.to_vec1::<f32>()?;
    let before = by / 2;
    let largest = |length: usize, at: usize, value: &dyn Fn(usize) -> f32| {
        let from = at.saturating_sub(before);
        (from..(at + by - before).min(length)).map(value).fold(0f32, f32::max)
    };
    let mut out = Vec::with_capacity(values.len());
    for plane in values.chunks_exact(h * w) {
        let wide: Vec<f32> = (0..h * w).map(|i| largest(w, i % w, &|x| plane[i / w * w + x])).collect();
        out.extend((0..h * w).map(|i| largest(h, i / w, &|y| wide[y * w + i % w]).clamp(0.0, 1.0)));
    }
    Ok(Tensor::from_vec(out, (b, c, h, w), mask.device())?)
}

use super::pixels::{crop, encode};
use crate::Host;
use crate::image::same_size;
use crate::types::{ImageBatch, Latent, VaeModel};
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns pictures into latents, to go on from them. Sides that the latent's scale does not divide are cropped.
#[derive(Inputs)]
pub(crate) struct VAEEncode {
    /// The pictures, all of one size.
    pixels: Arc<ImageBatch>,
    /// The autoencoder of the base that goes on.
    vae: Arc<VaeModel>,
}

impl TypedNode for VAEEncode {
    const ID: &'static str = "VAEEncode";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "VAE Encode";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(encode_pictures(ctx, &self.vae, &self.pixels)?))
    }
}

/// Pictures of one size as latents.
pub(crate) fn encode_pictures(ctx: &Context, vae: &VaeModel, pictures: &ImageBatch) -> anyhow::Result<Latent> {
    let pixels = crop(&same_size(pictures)?, vae.vae.config().factor())?;
    Ok(Latent::new(encode_pixels(ctx, vae, &pixels)?))
}

/// Pictures (b, 3, H, W) of 0…1, with sides that the latent's scale divides, as latents (b, c, h, w).
pub(crate) fn encode_pixels(ctx: &Context, vae: &VaeModel, pixels: &Tensor) -> anyhow::Result<Tensor> {
    let pixels = pixels.to_device(&ctx.services::<Host>().device)?;
    let count = pixels.dim(0)?;
    let mut latents = Vec::with_capacity(count);
    for i in 0..count {
        ctx.check_cancelled()?;
        latents.push(encode(vae, &pixels.narrow(0, i, 1)?)?);
        ctx.progress(i as u64 + 1, count as u64, "encoding");
    }
    Ok(Tensor::cat(&latents, 0)?)
}

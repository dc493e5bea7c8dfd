use crate::Host;
use crate::image::to_tensor;
use crate::types::{ImageBatch, Latent, VaeModel};
use anyhow::bail;
use candle_core::Tensor;
use data::{Image, Rect};
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
        let images = &self.pixels.0;
        let Some(first) = images.first() else { bail!("no pictures to encode") };
        if let Some(other) = images.iter().find(|i| (i.width, i.height) != (first.width, first.height)) {
            bail!(
                "expected pictures of one size, found {}×{} and {}×{}; use ImageScale first",
                first.width,
                first.height,
                other.width,
                other.height
            );
        }
        let factor = self.vae.vae.config().factor() as u32;
        let device = &ctx.services::<Host>().device;
        let mut latents = Vec::with_capacity(images.len());
        for (i, image) in images.iter().enumerate() {
            ctx.check_cancelled()?;
            let pixels = to_tensor(&crop(image, factor)?, device)?;
            let (mean, _) = self.vae.vae.encode(&pixels)?;
            latents.push(self.vae.vae.scale(&mean)?);
            ctx.progress(i as u64 + 1, images.len() as u64, "encoding");
        }
        Ok(Arc::new(Latent::new(Tensor::cat(&latents, 0)?)))
    }
}

/// The centre of the picture, with sides that `factor` divides.
fn crop(image: &Image, factor: u32) -> anyhow::Result<Image> {
    let (width, height) = (image.width / factor * factor, image.height / factor * factor);
    if width == 0 || height == 0 {
        bail!("{}×{} is too small: both sides must be at least {factor}", image.width, image.height);
    }
    let area = Rect { x: (image.width - width) / 2, y: (image.height - height) / 2, width, height };
    Ok(image.crop(area)?)
}

use crate::image::same_size;
use crate::latent::{crop, encode_pixels, grey_out};
use crate::types::{Beside, Conditioning, ImageBatch, Latent, Mask, VaeModel};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Shows an inpainting network the picture, and where to make it anew: Flux.1 Fill, the inpainting models of SD and SDXL.
#[derive(Inputs)]
pub(crate) struct InpaintModelConditioning {
    /// The prompts that say what to show.
    positive: Arc<Conditioning>,
    /// The prompts that say what to avoid.
    negative: Arc<Conditioning>,
    /// The autoencoder of the model.
    vae: Arc<VaeModel>,
    /// The pictures, all of one size.
    pixels: Arc<ImageBatch>,
    /// Where they are made anew.
    mask: Arc<Mask>,
    /// Keep the rest as it is; without, the network makes all of the picture, which may fit better or worse.
    #[input(default = true)]
    noise_mask: bool,
}

impl TypedNode for InpaintModelConditioning {
    const ID: &'static str = "InpaintModelConditioning";
    const CATEGORY: &'static str = "conditioning/inpaint";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["positive", "negative", "latent"];
    type Output = (Arc<Conditioning>, Arc<Conditioning>, Arc<Latent>);

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let factor = self.vae.vae.config().factor();
        let pixels = same_size(&self.pixels)?;
        let (_, _, h, w) = pixels.dims4()?;
        // (m, 1, H, W)
        let mask = models::interpolation("bilinear")?.resize(&self.mask.0.unsqueeze(1)?, h, w)?;
        let (mask, pixels) = (crop(&mask, factor)?, crop(&pixels, factor)?);
        let cut = encode_pixels(ctx, &self.vae, &grey_out(&pixels, &mask)?)?;
        let whole = encode_pixels(ctx, &self.vae, &pixels)?;
        let shown = |conditioning: &Conditioning| {
            let beside = Beside { latent: cut.clone(), mask: Some(mask.clone()) };
            Arc::new(conditioning.map(|one| one.beside = Some(beside.clone())))
        };
        let latent = Latent { noise_mask: self.noise_mask.then(|| mask.clone()), ..Latent::new(whole) };
        Ok((shown(&self.positive), shown(&self.negative), Arc::new(latent)))
    }
}

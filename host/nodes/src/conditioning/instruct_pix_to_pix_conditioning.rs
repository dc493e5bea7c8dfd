use crate::image::same_size;
use crate::latent::{crop, encode_pixels};
use crate::types::{Beside, Conditioning, ImageBatch, Latent, VaeModel};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Shows a network that was trained for it a picture beside the noise: Flux.1 Canny and Depth, InstructPix2Pix.
#[derive(Inputs)]
pub(crate) struct InstructPixToPixConditioning {
    /// The prompts that say what to show.
    positive: Arc<Conditioning>,
    /// The prompts that say what to avoid.
    negative: Arc<Conditioning>,
    /// The autoencoder of the model.
    vae: Arc<VaeModel>,
    /// The pictures, all of one size.
    pixels: Arc<ImageBatch>,
}

impl TypedNode for InstructPixToPixConditioning {
    const ID: &'static str = "InstructPixToPixConditioning";
    const CATEGORY: &'static str = "conditioning/instructpix2pix";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["positive", "negative", "latent"];
    type Output = (Arc<Conditioning>, Arc<Conditioning>, Arc<Latent>);

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let pixels = crop(&same_size(&self.pixels)?, self.vae.vae.config().factor())?;
        let latent = encode_pixels(ctx, &self.vae, &pixels)?;
        let shown = |conditioning: &Conditioning| {
            Arc::new(conditioning.map(|one| {
                let mask = one.beside.take().and_then(|beside| beside.mask);
                one.beside = Some(Beside { latent: latent.clone(), mask });
            }))
        };
        let empty = Latent::new(latent.zeros_like()?);
        Ok((shown(&self.positive), shown(&self.negative), Arc::new(empty)))
    }
}

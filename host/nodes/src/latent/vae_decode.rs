use super::pixels::decode;
use crate::types::{ImageBatch, Latent, VaeModel};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns latents into pictures.
#[derive(Inputs)]
pub(crate) struct VAEDecode {
    /// The latents.
    samples: Arc<Latent>,
    /// The autoencoder of the base that made them.
    vae: Arc<VaeModel>,
}

impl TypedNode for VAEDecode {
    const ID: &'static str = "VAEDecode";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "VAE Decode";
    const PERSISTENT: bool = true;
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let count = self.samples.samples.dim(0)?;
        let mut pictures = Vec::with_capacity(count);
        // One by one: an autoencoder needs more memory for a picture than the network that made it.
        for i in 0..count {
            ctx.check_cancelled()?;
            pictures.extend(decode(&self.vae, &self.samples.samples.narrow(0, i, 1)?)?);
            ctx.progress(i as u64 + 1, count as u64, "decoding");
        }
        Ok(Arc::new(ImageBatch::from_pixels(pictures)?))
    }
}

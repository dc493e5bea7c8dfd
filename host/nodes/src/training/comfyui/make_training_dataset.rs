use crate::conditioning::{COMFYUI, encode};
use crate::latent::encode_pictures;
use crate::types::{Clip, Conditioning, ImageBatch, Latent, VaeModel};
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns pictures into latents and their captions into prompts, for `TrainLoraNode`.
#[derive(Inputs)]
pub(crate) struct MakeTrainingDataset {
    /// The pictures.
    images: Vec<Arc<ImageBatch>>,
    /// The autoencoder of the base that is trained on.
    vae: Arc<VaeModel>,
    /// Its text encoder.
    clip: Arc<Clip>,
    /// A caption for each picture, or one for all; none: empty captions.
    #[input(optional)]
    texts: Option<Vec<String>>,
}

impl TypedNode for MakeTrainingDataset {
    const ID: &'static str = "MakeTrainingDataset";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Make Training Dataset";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["latents", "conditioning"];
    type Output = (Vec<Arc<Latent>>, Vec<Arc<Conditioning>>);

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let count = self.images.len();
        let mut texts = self.texts.filter(|t| !t.is_empty()).unwrap_or_else(|| vec![String::new()]);
        if texts.len() == 1 {
            texts.resize(count, texts[0].clone());
        }
        if texts.len() != count {
            bail!("expected a caption for each of the {count} pictures, or one for all; found {}", texts.len());
        }
        let (mut latents, mut prompts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (done, (image, text)) in self.images.iter().zip(&texts).enumerate() {
            ctx.check_cancelled()?;
            latents.push(Arc::new(encode_pictures(ctx, &self.vae, image)?));
            prompts.push(Arc::new(encode(ctx, &self.clip, COMFYUI, text)?));
            ctx.progress(done as u64 + 1, count as u64, "encoding");
        }
        Ok((latents, prompts))
    }
}

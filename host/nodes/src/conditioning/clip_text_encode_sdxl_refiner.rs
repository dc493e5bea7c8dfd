use super::encode::{COMFYUI, Encoded, embeddings_fingerprint, encode_each, shown};
use super::refuse_tags;
use crate::types::{Clip, Size};
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Encodes a prompt as SDXL's refiner is told it. The refiner itself cannot be loaded here; for the base model only the
/// size counts.
#[derive(Inputs)]
pub(crate) struct CLIPTextEncodeSDXLRefiner {
    /// How good the picture is to look; the refiner alone reads it.
    #[input(default = 6.0, range = 0.0..=1000.0, step = 0.01)]
    ascore: f64,
    /// Width of the picture, in pixels.
    #[input(default = 1024, range = 0..=16384)]
    width: u32,
    /// Height of the picture, in pixels.
    #[input(default = 1024, range = 0..=16384)]
    height: u32,
    /// The prompt.
    #[input(multiline)]
    text: String,
    /// The text encoders.
    clip: Arc<Clip>,
}

impl TypedNode for CLIPTextEncodeSDXLRefiner {
    const ID: &'static str = "CLIPTextEncodeSDXLRefiner";
    const CATEGORY: &'static str = "advanced/conditioning";
    const STRICT: bool = false;
    type Output = Encoded;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        embeddings_fingerprint(ctx, constants, &["text"])
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        refuse_tags(&self.text)?;
        let _ = self.ascore;
        let prompted = encode_each(ctx, &self.clip, COMFYUI, |_| self.text.as_str())?;
        let (width, height) = (self.width, self.height);
        let size = Size { width, height, crop_left: 0, crop_top: 0, target_width: width, target_height: height };
        Ok(shown(prompted, |one| one.size = Some(size)))
    }
}

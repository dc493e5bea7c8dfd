use super::encode::{COMFYUI, Encoded, embeddings_fingerprint, encode_each, shown};
use super::refuse_tags;
use crate::types::Clip;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Encodes a prompt for Flux.1: a text for each of its encoders, and the guidance that its network is told.
#[derive(Inputs)]
pub(crate) struct CLIPTextEncodeFlux {
    /// The text encoders.
    clip: Arc<Clip>,
    /// The prompt for CLIP L, which gives the whole in one vector.
    #[input(multiline)]
    clip_l: String,
    /// The prompt for T5, which is read word by word.
    #[input(multiline)]
    t5xxl: String,
    /// How strongly the prompt leads.
    #[input(default = 3.5, range = 0.0..=100.0, step = 0.1)]
    guidance: f64,
}

impl TypedNode for CLIPTextEncodeFlux {
    const ID: &'static str = "CLIPTextEncodeFlux";
    const CATEGORY: &'static str = "advanced/conditioning/flux";
    const STRICT: bool = false;
    type Output = Encoded;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        embeddings_fingerprint(ctx, constants, &["clip_l", "t5xxl"])
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        refuse_tags(&self.clip_l)?;
        refuse_tags(&self.t5xxl)?;
        let text = |encoder: &str| if encoder == "t5xxl" { self.t5xxl.as_str() } else { self.clip_l.as_str() };
        let prompted = encode_each(ctx, &self.clip, COMFYUI, text)?;
        Ok(shown(prompted, |one| one.guidance = Some(self.guidance)))
    }
}

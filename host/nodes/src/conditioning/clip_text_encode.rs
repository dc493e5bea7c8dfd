use super::encode::{COMFYUI, Encoded, embeddings_fingerprint, encode_each, shown};
use super::refuse_tags;
use crate::types::Clip;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Encodes a prompt as ComfyUI does. `(word)` weighs 1.1, `(word:1.3)` weighs 1.3; `embedding:name` is an embedding;
/// long prompts are encoded in chunks of 75 tokens.
#[derive(Inputs)]
pub(crate) struct CLIPTextEncode {
    /// The prompt.
    #[input(multiline)]
    text: String,
    /// The text encoders.
    clip: Arc<Clip>,
}

impl TypedNode for CLIPTextEncode {
    const ID: &'static str = "CLIPTextEncode";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "CLIP Text Encode (Prompt)";
    const STRICT: bool = false;
    type Output = Encoded;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        embeddings_fingerprint(ctx, constants, &["text"])
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        refuse_tags(&self.text)?;
        Ok(shown(encode_each(ctx, &self.clip, COMFYUI, |_| &self.text)?, |_| ()))
    }
}

use super::{encode, refuse_tags};
use crate::types::{Clip, Conditioning};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Encodes a prompt. `(word)` weighs 1.1, `(word:1.3)` weighs 1.3; long prompts are encoded in chunks of 75 tokens.
#[derive(Inputs)]
pub(crate) struct CLIPTextEncode {
    /// The prompt.
    #[input(multiline)]
    text: String,
    /// The text encoder.
    clip: Arc<Clip>,
}

impl TypedNode for CLIPTextEncode {
    const ID: &'static str = "CLIPTextEncode";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "CLIP Text Encode (Prompt)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        refuse_tags(&self.text)?;
        Ok(Arc::new(encode(&self.clip, &self.text)?))
    }
}

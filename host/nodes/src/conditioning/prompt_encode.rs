use super::encode::{Encoded, dialect_names, embeddings_fingerprint, encode_each, shown};
use super::refuse_tags;
use crate::types::Clip;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Encodes a prompt in the dialect of its author. Shows how many tokens it has.
#[derive(Inputs)]
pub(crate) struct PromptEncode {
    /// The text encoders.
    clip: Arc<Clip>,
    /// The prompt.
    #[input(multiline)]
    text: String,
    /// How it is read: `comfyui` (`(word:1.3)`, `embedding:name`) or `a1111` (`[word]` too, `BREAK`, embeddings by their
    /// name, commas at the ends of chunks).
    #[input(default = "a1111", options = dialect_names())]
    dialect: String,
}

impl TypedNode for PromptEncode {
    const ID: &'static str = "PromptEncode";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Prompt in a dialect";
    type Output = Encoded;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        embeddings_fingerprint(ctx, constants, &["text"])
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        refuse_tags(&self.text)?;
        Ok(shown(encode_each(ctx, &self.clip, &self.dialect, |_| &self.text)?, |_| ()))
    }
}

use super::encode::{dialect_names, embeddings_fingerprint, encode_each, shown};
use super::lora_tags;
use crate::Host;
use crate::loaders::{apply_lora, lora_file};
use crate::types::{Clip, Conditioning, Model};
use engine::{Context, TypedNode, WithUi};
use models::lora::Options;
use serde_json::Value as Json;
use spec::{Inputs, Value, Values};
use std::sync::Arc;

/// Encodes a prompt and loads the LoRAs that it names: `<lora:name:0.8>`, or `<lora:name:0.8:0.5>` with a strength of
/// its own for the text encoder. A name without a file is an error.
#[derive(Inputs)]
pub(crate) struct LoraPrompt {
    /// The network that denoises.
    model: Arc<Model>,
    /// Its text encoder.
    clip: Arc<Clip>,
    /// The prompt with its LoRAs.
    #[input(multiline)]
    text: String,
    /// How the prompt is read: `comfyui` (`(word:1.3)`, `embedding:name`) or `a1111` (`[word]` too, `BREAK`, embeddings
    /// by their name, commas at the ends of chunks).
    #[input(default = "comfyui", options = dialect_names())]
    dialect: String,
}

impl TypedNode for LoraPrompt {
    const ID: &'static str = "LoraPrompt";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Prompt with LoRAs";
    const OUTPUT_NAMES: &'static [&'static str] = &["MODEL", "CLIP", "CONDITIONING", "text"];
    const ALIASES: &'static [&'static str] = &["PromptWithLoras"];
    type Output = WithUi<(Arc<Model>, Arc<Clip>, Arc<Conditioning>, String)>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        let host = ctx.services::<Host>();
        let known = host.models.list("loras");
        let names = match constants.get("text") {
            Some(Value::Data(Json::String(text))) => {
                let (_, tags) = lora_tags::extract(text)?;
                tags.iter().map(|t| Ok(lora_tags::find(&t.name, &known)?.to_owned())).collect::<anyhow::Result<_>>()?
            }
            // A linked text is not known yet: any of the files may be meant.
            _ => known,
        };
        let digests = names.iter().map(|name| {
            let digest = host.file_digest(&host.models.resolve("loras", name)?)?;
            Ok(format!("{name} {digest}"))
        });
        let mut lines = digests.collect::<anyhow::Result<Vec<_>>>()?;
        lines.push(embeddings_fingerprint(ctx, constants, &["text"])?);
        Ok(lines.join("\n"))
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let (text, tags) = lora_tags::extract(&self.text)?;
        let known = ctx.services::<Host>().models.list("loras");
        let (mut model, mut clip) = (Model::clone(&self.model), Clip::clone(&self.clip));
        for tag in &tags {
            let file = lora_file(ctx, lora_tags::find(&tag.name, &known)?)?;
            (model, clip) =
                apply_lora(ctx, &file, &model, &clip, (tag.strength_model, tag.strength_clip), &Options::default())?;
        }
        let WithUi { outputs: conditioning, ui } = shown(encode_each(ctx, &clip, &self.dialect, |_| &text)?, |_| ());
        Ok(WithUi { outputs: (Arc::new(model), Arc::new(clip), conditioning, text), ui })
    }
}

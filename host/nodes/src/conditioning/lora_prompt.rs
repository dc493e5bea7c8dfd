use super::{encode, lora_tags};
use crate::Host;
use crate::loaders::{apply_lora, lora_file};
use crate::types::{Clip, Conditioning, Model};
use engine::{Context, TypedNode};
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
}

impl TypedNode for LoraPrompt {
    const ID: &'static str = "LoraPrompt";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Prompt with LoRAs";
    const OUTPUT_NAMES: &'static [&'static str] = &["MODEL", "CLIP", "CONDITIONING", "text"];
    const ALIASES: &'static [&'static str] = &["PromptWithLoras"];
    type Output = (Arc<Model>, Arc<Clip>, Arc<Conditioning>, String);

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
        Ok(digests.collect::<anyhow::Result<Vec<_>>>()?.join("\n"))
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let (text, tags) = lora_tags::extract(&self.text)?;
        let known = ctx.services::<Host>().models.list("loras");
        let (mut model, mut clip) = (Model::clone(&self.model), Clip::clone(&self.clip));
        for tag in &tags {
            let file = lora_file(ctx, lora_tags::find(&tag.name, &known)?)?;
            (model, clip) = apply_lora(ctx, &file, &model, &clip, tag.strength_model, tag.strength_clip)?;
        }
        let conditioning = encode(&clip, &text)?;
        Ok((Arc::new(model), Arc::new(clip), Arc::new(conditioning), text))
    }
}

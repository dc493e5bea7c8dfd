use super::load;
use super::lora_options::LoraOptions;
use crate::types::{Clip, Model};
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Puts a LoRA on a model and its text encoder. A file of which anything does not fit the model is an error.
#[derive(Inputs)]
pub(crate) struct LoraLoader {
    /// The network that denoises.
    model: Arc<Model>,
    /// Its text encoder.
    clip: Arc<Clip>,
    /// The file, in the folder `loras` of the models.
    #[input(host_list = "models/loras")]
    lora_name: String,
    /// How strongly the network is changed; may be negative.
    #[input(default = 1.0, range = -100.0..=100.0, step = 0.01)]
    strength_model: f64,
    /// How strongly the text encoder is changed; may be negative.
    #[input(default = 1.0, range = -100.0..=100.0, step = 0.01)]
    strength_clip: f64,
    #[input(flatten)]
    options: LoraOptions,
}

impl TypedNode for LoraLoader {
    const ID: &'static str = "LoraLoader";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load LoRA";
    const STRICT: bool = false;
    type Output = (Arc<Model>, Arc<Clip>);

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "lora_name", "loras")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let file = load::lora_file(ctx, &self.lora_name)?;
        let strengths = (self.strength_model, self.strength_clip);
        let (model, clip) = load::apply_lora(ctx, &file, &self.model, &self.clip, strengths, &self.options.options())?;
        Ok((Arc::new(model), Arc::new(clip)))
    }
}

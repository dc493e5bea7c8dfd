use super::load;
use super::lora_options::LoraOptions;
use crate::types::Model;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Puts a LoRA on a model alone; the file's part for the text encoder is left out.
#[derive(Inputs)]
pub(crate) struct LoraLoaderModelOnly {
    /// The network that denoises.
    model: Arc<Model>,
    /// The file, in the folder `loras` of the models.
    #[input(host_list = "models/loras")]
    lora_name: String,
    /// How strongly the network is changed; may be negative.
    #[input(default = 1.0, range = -100.0..=100.0, step = 0.01)]
    strength_model: f64,
    #[input(flatten)]
    options: LoraOptions,
}

impl TypedNode for LoraLoaderModelOnly {
    const ID: &'static str = "LoraLoaderModelOnly";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load LoRA (Model Only)";
    const STRICT: bool = false;
    type Output = Arc<Model>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "lora_name", "loras")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let file = load::lora_file(ctx, &self.lora_name)?;
        Ok(Arc::new(load::apply_lora_to_model(ctx, &file, &self.model, self.strength_model, &self.options.options())?))
    }
}

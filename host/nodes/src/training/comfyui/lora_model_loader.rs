use crate::types::{LoraModel, Model};
use engine::{Context, Level, TypedNode};
use models::lora::{File, Options};
use spec::Inputs;
use std::sync::Arc;

/// Puts a LoRA that was just trained on a model.
#[derive(Inputs)]
pub(crate) struct LoraModelLoader {
    /// The network that denoises.
    model: Arc<Model>,
    /// The LoRA.
    lora: Arc<LoraModel>,
    /// How strongly the network is changed; may be negative.
    #[input(default = 1.0, range = -100.0..=100.0, step = 0.01)]
    strength_model: f64,
}

impl TypedNode for LoraModelLoader {
    const ID: &'static str = "LoraModelLoader";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Load LoRA Model";
    const STRICT: bool = false;
    type Output = Arc<Model>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        if self.strength_model == 0.0 {
            return Ok(self.model);
        }
        let (file, texts) = (File::read(&self.lora.path)?, self.model.base_text.as_ref());
        let (network, warnings) =
            file.apply_to_network(&self.model.network, texts, self.strength_model, &Options::default())?;
        warnings.iter().for_each(|warning| ctx.log(Level::Warn, warning));
        Ok(Arc::new(Model { network, ..Model::clone(&self.model) }))
    }
}

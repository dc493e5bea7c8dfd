use crate::types::LoraModel;
use crate::{Host, files};
use anyhow::{Context as _, Result};
use engine::{Context, Outputs, TypedNode, WithUi};
use spec::Inputs;
use std::sync::{Arc, Mutex, PoisonError};

/// Saves a LoRA that was just trained below the output folder.
#[derive(Inputs)]
pub(crate) struct SaveLoRA {
    /// The LoRA.
    lora: Arc<LoraModel>,
    /// Start of the file's name: `name` gives `name_00001_.safetensors`. May have folders.
    #[input(default = "loras/ComfyUI_trained_lora")]
    prefix: String,
    /// Steps that it was trained for, to be in the name.
    #[input(optional)]
    steps: Option<u64>,
}

/// Two nodes may count in one folder at the same time.
static COUNTING: Mutex<()> = Mutex::new(());

impl TypedNode for SaveLoRA {
    const ID: &'static str = "SaveLoRA";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Save LoRA Weights";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const STRICT: bool = false;
    const ALIASES: &'static [&'static str] = &["SaveLoRANode"];
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let path = &self.lora.path;
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let stem = match self.steps {
            Some(steps) => format!("{}_{steps}_steps", self.prefix),
            None => self.prefix,
        };
        let host = ctx.services::<Host>();
        let stem = files::filled_in(&stem, (0, 0), (host.now)());
        let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
        let number = crate::image::next_number(&host.out_path(&stem)?);
        let (path, digest) = files::save(ctx, &format!("{stem}_{number:05}_.safetensors"), &bytes)?;
        Ok(WithUi::new(()).file(&path, digest.as_str()))
    }
}

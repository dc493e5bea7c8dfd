use crate::files;
use crate::types::Checkpoints;
use anyhow::{Context as _, Result};
use engine::{Context, Outputs, TypedNode, WithUi};
use spec::Inputs;
use std::sync::Arc;

/// Saves all checkpoints of a training below the output folder, with the names that sd-scripts gives them.
#[derive(Inputs)]
pub(crate) struct SaveCheckpoints {
    /// The training.
    checkpoints: Arc<Checkpoints>,
    /// Folder below the output folder.
    #[input(default = "loras")]
    folder: String,
    /// Leave out those before the last.
    #[input(default = false)]
    only_last: bool,
}

impl TypedNode for SaveCheckpoints {
    const ID: &'static str = "SaveCheckpoints";
    const CATEGORY: &'static str = "training";
    const DISPLAY_NAME: &'static str = "Save checkpoints";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let mut out = WithUi::new(());
        for file in self.checkpoints.files.iter().filter(|f| f.is_last || !self.only_last) {
            ctx.check_cancelled()?;
            let name = &self.checkpoints.name;
            let stem = if file.is_last { name.clone() } else { format!("{name}-step{:08}", file.step) };
            let bytes = std::fs::read(&file.path).with_context(|| format!("cannot read {}", file.path.display()))?;
            let (path, sha256) = files::save(ctx, &format!("{}/{stem}.safetensors", self.folder), &bytes)?;
            out = out.file(&path, sha256.as_str());
        }
        Ok(out)
    }
}

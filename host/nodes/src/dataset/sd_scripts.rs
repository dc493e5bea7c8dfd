use super::fingerprint;
use crate::Host;
use crate::types::TrainOptions;
use data::Dataset;
use data::sd_scripts::{self, Missing};
use engine::{Context, Level, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Reads a dataset file of kohya's sd-scripts (TOML with [general], [[datasets]] and [[datasets.subsets]]): its folders,
/// captions, repeats and regularisation images, and what it says of buckets, captions and augmentation.
#[derive(Inputs)]
pub(crate) struct SdScriptsDataset {
    /// The TOML file; a relative path begins at the workflow's folder, those in the file at its own folder.
    #[input(host_list = "file")]
    file: String,
    /// Is a picture without a caption file an error, or fine?
    #[input(default = "error", options = ["error", "allow"])]
    missing_captions: String,
}

impl TypedNode for SdScriptsDataset {
    const ID: &'static str = "SdScriptsDataset";
    const CATEGORY: &'static str = "dataset";
    const DISPLAY_NAME: &'static str = "Dataset of sd-scripts";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["dataset", "options"];
    type Output = (Arc<Dataset>, Arc<TrainOptions>);

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        fingerprint(ctx, constants, &["file"], sd_scripts::files)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let path = ctx.services::<Host>().input_path(&self.file);
        let missing = if self.missing_captions == "allow" { Missing::Allowed } else { Missing::Error };
        let import = sd_scripts::read(&path, missing)?;
        import.dataset.notes.iter().for_each(|note| ctx.log(Level::Info, note));
        let mut options = TrainOptions::default();
        let place = format!("node {} ({})", ctx.node_id, Self::ID);
        for (key, value) in import.options {
            options.set(&key, value, &place)?;
        }
        Ok((Arc::new(import.dataset), Arc::new(options)))
    }
}

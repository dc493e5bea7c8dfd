//! What is saved.

use super::{Problems, Section};
use crate::safetensors_file::SaveDtype;
use serde::{Deserialize, Serialize};

/// What is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SavingOptions {
    /// Stem of the saved files' names. Default `lora`.
    #[serde(rename = "output_name")]
    pub name: String,
    /// Save a checkpoint every so many optimizer steps. Default: none but the last.
    pub save_every_steps: Option<u64>,
    /// Save a checkpoint every so many epochs. Default: none but the last.
    pub save_every_epochs: Option<u64>,
    /// Keep only so many of the checkpoints before the last. Default: all.
    pub keep_checkpoints: Option<usize>,
    /// Save the training state every so many optimizer steps; it is also saved with each checkpoint. Default 25.
    pub state_every: u64,
    /// Number format of saved networks: `f16`, `bf16` or `f32`. Default `f16`.
    pub save_dtype: SaveDtype,
    /// Free text for the file's metadata. Default: none.
    pub comment: String,
}

impl Default for SavingOptions {
    fn default() -> Self {
        Self {
            name: "lora".into(),
            save_every_steps: None,
            save_every_epochs: None,
            keep_checkpoints: None,
            state_every: 25,
            save_dtype: SaveDtype::default(),
            comment: String::new(),
        }
    }
}

impl Section for SavingOptions {
    fn check(&self, problems: &mut Problems) {
        let ok = !self.name.is_empty() && !self.name.contains(['/', '\\', '\0']);
        problems.want(ok, format!("`output_name`: expected a file's stem, found {:?}", self.name));
        problems.at_least_one("state_every", self.state_every);
        problems.at_least_one("save_every_steps", self.save_every_steps.unwrap_or(1));
        problems.at_least_one("save_every_epochs", self.save_every_epochs.unwrap_or(1));
    }
}

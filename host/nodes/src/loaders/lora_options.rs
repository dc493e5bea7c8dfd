use models::lora::{DoraNorm, How, Options, Unmatched};
use spec::Inputs;

/// How a LoRA is put onto a model; ComfyUI's nodes have no such inputs, and their workflows do without.
#[derive(Inputs)]
pub(crate) struct LoraOptions {
    /// What becomes of the file's keys that fit no layer: an error that lists them, or a warning, and the rest is used.
    #[input(default = "error", options = ["error", "warn"])]
    unmatched: String,
    /// What the sizes of a DoRA are divided by: as LyCORIS, which trained it, or as ComfyUI.
    #[input(default = "lycoris", options = ["lycoris", "comfyui"])]
    dora: String,
    /// Into the weights, as fast as without, or beside them, made in no time and for comparing strengths.
    #[input(default = "merge", options = ["merge", "unmerged"])]
    how: String,
}

impl LoraOptions {
    /// As the crate takes them.
    pub(super) fn options(&self) -> Options {
        Options {
            unmatched: if self.unmatched == "warn" { Unmatched::Warn } else { Unmatched::Error },
            how: if self.how == "unmerged" { How::Unmerged } else { How::Merge },
            dora_norm: if self.dora == "comfyui" { DoraNorm::ComfyUi } else { DoraNorm::LyCoris },
        }
    }
}

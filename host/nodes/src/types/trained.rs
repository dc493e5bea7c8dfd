use serde::{Deserialize, Serialize};
use spec::ObjectType;
use std::path::PathBuf;

/// A LoRA as ComfyUI's training nodes pass it on: a file in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoraModel {
    pub path: PathBuf,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

impl ObjectType for LoraModel {
    const SOCKET: &'static str = "LORA_MODEL";
}

/// The losses of a training, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossMap {
    pub loss: Vec<f64>,
}

impl ObjectType for LossMap {
    const SOCKET: &'static str = "LOSS_MAP";
}

//! From files to models.

mod checkpoint_loader_simple;
mod diffusers_loader;
mod load;
mod lora_loader;
mod lora_loader_model_only;

use crate::Make;
use engine::node;
pub(crate) use load::{apply_lora, lora_file};

pub(crate) const NODES: &[Make] = &[
    node::<checkpoint_loader_simple::CheckpointLoaderSimple>,
    node::<diffusers_loader::DiffusersLoader>,
    node::<lora_loader::LoraLoader>,
    node::<lora_loader_model_only::LoraLoaderModelOnly>,
];

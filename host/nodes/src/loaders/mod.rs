//! From files to models.

mod checkpoint_loader_simple;
mod clip_loader;
mod clip_vision_loader;
mod control_net_loader;
mod diffusers_loader;
mod dual_clip_loader;
mod load;
mod lora_loader;
mod lora_loader_model_only;
mod lora_options;
mod style_model_loader;
mod unet_loader;
mod upscale_model_loader;
mod vae_loader;

use crate::Make;
use engine::node;
pub(crate) use load::{apply_lora, lora_file, lora_path};

pub(crate) const NODES: &[Make] = &[
    node::<checkpoint_loader_simple::CheckpointLoaderSimple>,
    node::<diffusers_loader::DiffusersLoader>,
    node::<unet_loader::UNETLoader>,
    node::<clip_loader::CLIPLoader>,
    node::<dual_clip_loader::DualCLIPLoader>,
    node::<vae_loader::VAELoader>,
    node::<lora_loader::LoraLoader>,
    node::<lora_loader_model_only::LoraLoaderModelOnly>,
    node::<control_net_loader::ControlNetLoader>,
    node::<upscale_model_loader::UpscaleModelLoader>,
    node::<clip_vision_loader::CLIPVisionLoader>,
    node::<style_model_loader::StyleModelLoader>,
];

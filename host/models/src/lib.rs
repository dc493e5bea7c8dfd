//! Diffusion networks and their files: the SD 1.x family (CLIP text encoder, UNet, autoencoder), read from diffusers
//! folders and single checkpoints, and LoRA files. Knows no graph, no node, no sampling and no training loop; training
//! gets targets, adapters and operations with gradients.
//!
//! Start at [`load`] and [`Loaded`]; the operations are in [`ops`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adapter;
mod clip;
mod config;
mod error;
mod family;
mod layers;
mod ldm;
mod load;
pub mod lora;
pub mod ops;
mod resnet;
mod unet;
mod vae;
mod weights;

pub use adapter::{Adapter, LoraRef, Target, TargetKind};
pub use clip::{Activation, TextConfig, TextEncoder, TextOutput, Tokenizer, Tokens};
pub use error::{Error, Result};
pub use family::{Betas, FAMILIES, Family, Latent, Prediction};
pub use load::{Loaded, Options, Seen, load, load_with, look_at};
pub use unet::{UNet, UNetConfig};
pub use vae::{Vae, VaeConfig};

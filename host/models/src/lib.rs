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
#[allow(dead_code)] // The family is not listed yet.
mod flux;
mod interpolate;
mod layers;
mod ldm;
mod load;
pub mod lora;
mod memory;
pub mod ops;
mod patch;
mod resnet;
#[allow(dead_code)] // The family is not listed yet.
mod t5;
mod tiled;
mod unet;
mod vae;
mod weights;

pub use adapter::{Adapter, LoraRef, NormTarget, Target, TargetKind};
pub use clip::{Activation, TextConfig, TextEncoder, TextOutput, Tokenizer, Tokens};
pub use error::{Error, Result};
pub use family::{Betas, FAMILIES, Family, Latent, Prediction};
pub use flux::{DEFAULT_GUIDANCE, Flux, FluxCondition, FluxConfig};
pub use interpolate::{INTERPOLATIONS, Interpolation, interpolation};
pub use load::{Loaded, Options, Seen, load, load_with, look_at};
pub use memory::Memory;
pub use patch::{How, Patch, Patched};
pub use t5::{T5_MIN_LENGTH, T5Config, T5Encoder, T5Tokenizer};
pub use tiled::Tiling;
pub use unet::{UNet, UNetConfig};
pub use vae::{Vae, VaeConfig};

//! Diffusion networks and their files: the families SD 1.x, SD 2.x, SDXL and Flux.1 (text encoders, denoising network,
//! autoencoder), read from diffusers folders, single checkpoints and files of single parts, and LoRA files. Knows no
//! graph, no node, no sampling and no training loop; training gets targets, adapters and operations with gradients.
//!
//! Start at [`load`] and [`Loaded`]; the families are rows in [`FAMILIES`]; the operations are in [`ops`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adapter;
mod aesthetic;
mod blip;
mod clip;
mod config;
mod controlnet;
mod error;
mod family;
mod flux;
mod interpolate;
mod latent;
mod layers;
mod load;
pub mod lora;
mod memory;
mod network;
pub mod ops;
mod page;
mod patch;
pub mod prompt;
mod resnet;
mod sd1;
mod sd2;
mod sdxl;
mod segments;
mod t5;
mod taesd;
mod tagger;
mod text;
mod tiled;
mod unet;
mod upscale;
mod vae;
mod vision;
mod weights;

pub use adapter::{Adapter, LoraRef, NormTarget, Target, TargetKind};
pub use aesthetic::{Aesthetic, load_aesthetic};
pub use blip::{Blip, LoadedBlip, Sight, Writing, Written, load_blip};
pub use clip::{Activation, TextConfig, TextEncoder, TextOutput, Tokenizer, Tokens};
pub use clip::{ClipText, LoadedClipText, load_clip_text};
pub use controlnet::{ControlNet, LoadedControlNet, load_controlnet};
pub use error::{Error, Result};
pub use family::{Betas, FAMILIES, Family, NetworkRow, Noise, Prediction, TextRow};
pub use flux::{DEFAULT_GUIDANCE, Flux, FluxCondition, FluxConfig};
pub use interpolate::{INTERPOLATIONS, Interpolation, interpolation};
pub use latent::Latent;
pub use layers::Beneath;
pub use load::{Loaded, LoadedNetwork, LoadedTexts, LoadedVae, Options, Seen};
pub use load::{load, load_network, load_texts, load_vae, look_at};
pub use load::{load_network_with, load_texts_with, load_vae_with, load_with};
pub use memory::Memory;
pub use network::{Cond, Network, Observe, Residuals, Takes};
pub use ops::Width;
pub use page::{FORMS, Form, formats};
pub use patch::{How, Patch, Patched};
pub use segments::{Footprint, backward};
pub use t5::{T5_MIN_LENGTH, T5Config, T5Encoder, T5Tokenizer};
pub use taesd::Preview;
pub use tagger::{LoadedTagger, Tagger, load_tagger};
pub use text::{Encoded, PartStates, TextPart, Texts, Token, TokenCutter};
pub use tiled::Tiling;
pub use upscale::{LoadedUpscaler, Upscaler, load_upscaler};
pub use vae::{Vae, VaeConfig};
pub use vision::{LoadedStyle, LoadedVision, StyleModel, Vision, VisionOutput, load_style_model, load_vision};

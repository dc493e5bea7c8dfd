//! Latents: empty ones, and the way to and from pictures.

mod empty_latent_image;
mod vae_decode;
mod vae_encode;

use crate::Make;
use engine::node;

pub(crate) const NODES: &[Make] =
    &[node::<empty_latent_image::EmptyLatentImage>, node::<vae_decode::VAEDecode>, node::<vae_encode::VAEEncode>];

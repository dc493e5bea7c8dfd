//! Latents: empty ones, changed ones, and the way to and from pictures.

mod batch;
mod batch_latents_node;
mod empty_latent_image;
mod empty_sd3_latent_image;
mod latent_add;
mod latent_batch;
mod latent_batch_seed_behavior;
mod latent_blend;
mod latent_composite;
mod latent_composite_masked;
mod latent_crop;
mod latent_flip;
mod latent_from_batch;
mod latent_interpolate;
mod latent_multiply;
mod latent_rotate;
mod latent_subtract;
mod latent_upscale;
mod latent_upscale_by;
mod pixels;
mod repeat_latent_batch;
mod set_latent_noise_mask;
#[cfg(test)]
mod tests;
mod vae_decode;
mod vae_decode_tiled;
mod vae_encode;
mod vae_encode_for_inpaint;
mod vae_encode_tiled;

use crate::Make;
use engine::node;
pub(crate) use pixels::{crop, decode, grey_out};
pub(crate) use vae_encode::{encode_pictures, encode_pixels};

pub(crate) const NODES: &[Make] = &[
    node::<empty_latent_image::EmptyLatentImage>,
    node::<empty_sd3_latent_image::EmptySD3LatentImage>,
    node::<vae_decode::VAEDecode>,
    node::<vae_encode::VAEEncode>,
    node::<vae_decode_tiled::VAEDecodeTiled>,
    node::<vae_encode_tiled::VAEEncodeTiled>,
    node::<vae_encode_for_inpaint::VAEEncodeForInpaint>,
    node::<set_latent_noise_mask::SetLatentNoiseMask>,
    node::<latent_upscale::LatentUpscale>,
    node::<latent_upscale_by::LatentUpscaleBy>,
    node::<latent_from_batch::LatentFromBatch>,
    node::<repeat_latent_batch::RepeatLatentBatch>,
    node::<latent_batch::LatentBatch>,
    node::<batch_latents_node::BatchLatentsNode>,
    node::<latent_flip::LatentFlip>,
    node::<latent_rotate::LatentRotate>,
    node::<latent_crop::LatentCrop>,
    node::<latent_composite::LatentComposite>,
    node::<latent_composite_masked::LatentCompositeMasked>,
    node::<latent_add::LatentAdd>,
    node::<latent_batch_seed_behavior::LatentBatchSeedBehavior>,
    node::<latent_blend::LatentBlend>,
    node::<latent_interpolate::LatentInterpolate>,
    node::<latent_multiply::LatentMultiply>,
    node::<latent_subtract::LatentSubtract>,
];

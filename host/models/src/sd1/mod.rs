//! SD 1.x, and every network of its architecture of whatever size (Rombach et al. 2022, arXiv:2112.10752).

use crate::clip::{self, Reading};
use crate::error::Result;
use crate::family::{Betas, Family, NetworkRow, Noise, Prediction, Shapes, TextRow};
use crate::family::{linear_projection, sized, text_width};
use crate::latent;
use crate::text::{Encoded, PartStates};
use crate::unet::{self, Heads, Naming, UNetConfig};

/// The betas of all Stable Diffusion networks with timesteps.
pub(crate) const BETAS: Betas = Betas { start: 0.00085, end: 0.012, steps: 1000, scaled: true, zero_snr: false };

const HEADS: Heads = Heads::Count(8);
/// The last layer's states behind the final norm.
const READING: Reading = Reading { skip: 1, norm: true, projects: false, pooled: false };

pub(crate) static SD1: Family = Family {
    name: "SD 1.x",
    latent: latent::SD,
    prediction: Prediction::Epsilon,
    noise: Noise::Betas(BETAS),
    architecture: "stable-diffusion-v1",
    base_model_version: "sd_v1",
    side: 512,
    network: NetworkRow {
        folder: "unet",
        kohya: unet::KOHYA,
        trainer: "networks.lora",
        prefixes: &["model.diffusion_model."],
        load: |source| unet::load(source, HEADS, Naming::Diffusers),
        full_size: |part| unet::full_size(UNetConfig::sd15(), part, Naming::Diffusers),
    },
    texts: &[TextRow {
        name: "clip_l",
        folder: "text_encoder",
        tokenizer: "tokenizer",
        kohya: "lora_te_",
        prefixes: &["cond_stage_model.transformer.", "text_encoders.clip_l.transformer."],
        mark: clip::is_l,
        load: |source, row| clip::load(source, row, &clip::L, READING),
        full_size: |part, row| clip::full_size(part, row, &clip::L, READING),
    }],
    text_type: "stable_diffusion",
    small_decoder: "taesd",
    combine: only,
    mark,
    predicts: |_| None,
};

/// One text encoder whose states are all there is.
pub(crate) fn only(mut parts: Vec<PartStates>) -> Result<Encoded> {
    let states = parts.swap_remove(0).states;
    Ok(Encoded { states, pooled: None })
}

fn mark(shapes: &Shapes) -> Option<String> {
    let (key, width) = text_width(shapes)?;
    let other = width == 1024 || sized(shapes).is_some() || linear_projection(shapes).is_some();
    (!other).then(|| format!("`{key}` takes text states of {width} features, and nothing speaks for another family"))
}

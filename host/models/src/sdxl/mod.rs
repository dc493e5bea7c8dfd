//! SDXL base (Podell et al. 2023, arXiv:2307.01952): two text encoders side by side, and the picture's size as a
//! condition.

use crate::clip::{self, Reading};
use crate::error::{Error, Result};
use crate::family::{Family, NetworkRow, Noise, Prediction, Shapes, TextRow, sized};
use crate::latent;
use crate::sd1::BETAS;
use crate::text::{Encoded, PartStates};
use crate::unet::{self, Heads, Naming, UNetConfig};
use candle_core::Tensor;

const HEADS: Heads = Heads::Size(64);
/// The states before the last layer, without the final norm.
const L: Reading = Reading { skip: 2, norm: false, projects: false, pooled: false };
const G: Reading = Reading { skip: 2, norm: false, projects: true, pooled: true };

pub(crate) static SDXL: Family = Family {
    name: "SDXL",
    latent: latent::SDXL,
    prediction: Prediction::Epsilon,
    noise: Noise::Betas(BETAS),
    architecture: "stable-diffusion-xl-v1-base",
    base_model_version: "sdxl_base_v1-0",
    side: 1024,
    network: NetworkRow {
        folder: "unet",
        kohya: unet::KOHYA,
        trainer: "networks.lora",
        prefixes: &["model.diffusion_model."],
        load: |source| unet::load(source, HEADS, Naming::Original),
        full_size: |part| unet::full_size(UNetConfig::sdxl(), part, Naming::Original),
    },
    texts: &[
        TextRow {
            name: "clip_l",
            folder: "text_encoder",
            tokenizer: "tokenizer",
            kohya: "lora_te1_",
            prefixes: &["conditioner.embedders.0.transformer.", "text_encoders.clip_l.transformer."],
            mark: clip::is_l,
            load: |source, row| clip::load(source, row, &clip::L, L),
            full_size: |part, row| clip::full_size(part, row, &clip::L, L),
        },
        TextRow {
            name: "clip_g",
            folder: "text_encoder_2",
            tokenizer: "tokenizer_2",
            kohya: "lora_te2_",
            prefixes: &["conditioner.embedders.1.model.", "text_encoders.clip_g.transformer."],
            mark: clip::is_g,
            load: |source, row| clip::load(source, row, &clip::G, G),
            full_size: |part, row| clip::full_size(part, row, &clip::G, G),
        },
    ],
    text_type: "sdxl",
    small_decoder: "taesdxl",
    combine,
    mark,
    predicts: |_| None,
};

fn mark(shapes: &Shapes) -> Option<String> {
    let reason = sized(shapes)?;
    // Depth networks and others also have class labels, but no attention to the text of this form.
    crate::family::text_width(shapes).map(|_| reason)
}

/// Both encoders' features side by side, as many tokens as both have, and the pooled state of the second (ComfyUI,
/// sdxl_clip.py).
fn combine(parts: Vec<PartStates>) -> Result<Encoded> {
    let [l, g] = parts.as_slice() else {
        return Err(Error::Unsupported(format!("expected two text encoders, found {}", parts.len())));
    };
    let n = l.states.dim(1)?.min(g.states.dim(1)?);
    let states = Tensor::cat(&[l.states.narrow(1, 0, n)?, g.states.narrow(1, 0, n)?], 2)?;
    Ok(Encoded { states, pooled: g.pooled.clone() })
}

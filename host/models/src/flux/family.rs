//! Flux.1 as families: the model that was distilled with a guidance (dev), and the one for few steps (schnell).

use super::{Flux, FluxConfig};
use crate::clip::{self, Reading};
use crate::error::{Error, Result};
use crate::family::{Family, NetworkRow, Noise, Prediction, Shapes, TextRow, has};
use crate::latent;
use crate::load::{Source, shapes_of};
use crate::network::Network;
use crate::t5;
use crate::text::{Encoded, PartStates};
use crate::weights::Part;

/// CLIP's pooled state is that of the last layer; its other states are not used.
const READING: Reading = Reading { skip: 1, norm: true, projects: false, pooled: true };

const DEV: Family = Family {
    name: "Flux.1",
    latent: latent::FLUX,
    prediction: Prediction::Flow,
    noise: Noise::Flow { shift: 1.15 },
    architecture: "flux-1-dev",
    base_model_version: "flux1",
    side: 1024,
    network: NetworkRow {
        folder: "transformer",
        kohya: super::KOHYA_PREFIX,
        trainer: "networks.lora_flux",
        prefixes: &["model.diffusion_model."],
        load,
        full_size: |part| full_size(FluxConfig::dev(), part),
    },
    texts: &[
        TextRow {
            name: "clip_l",
            folder: "text_encoder",
            tokenizer: "tokenizer",
            kohya: "lora_te1_",
            prefixes: &["text_encoders.clip_l.transformer."],
            mark: clip::is_l,
            load: |source, row| clip::load(source, row, &clip::L, READING),
            full_size: |part, row| clip::full_size(part, row, &clip::L, READING),
        },
        TextRow {
            name: "t5xxl",
            folder: "text_encoder_2",
            tokenizer: "tokenizer_2",
            kohya: t5::KOHYA_PREFIX,
            prefixes: &["text_encoders.t5xxl.transformer."],
            mark: t5::is_t5,
            load: t5::load,
            full_size: t5::full_size,
        },
    ],
    text_type: "flux",
    small_decoder: "taef1",
    combine,
    mark: |shapes| mark(shapes).filter(|_| guided(shapes)),
    predicts: |_| None,
};

/// Flux.1-dev.
pub(crate) static FLUX: Family = DEV;

/// Flux.1 schnell, whose times are not shifted (ComfyUI, supported_models.py FluxSchnell).
pub(crate) static SCHNELL: Family = Family {
    name: "Flux.1 schnell",
    noise: Noise::Flow { shift: 0.0 },
    architecture: "flux-1-schnell",
    network: NetworkRow {
        full_size: |part| full_size(FluxConfig { guidance: false, ..FluxConfig::dev() }, part),
        ..DEV.network
    },
    mark: |shapes| mark(shapes).filter(|_| !guided(shapes)),
    ..DEV
};

fn mark(shapes: &Shapes) -> Option<String> {
    has(shapes, "double_blocks.0.img_attn.").or_else(|| has(shapes, "single_transformer_blocks.0.proj_mlp."))
}

/// Whether the guidance is an input.
fn guided(shapes: &Shapes) -> bool {
    has(shapes, "guidance_in.").or_else(|| has(shapes, "guidance_embedder.")).is_some()
}

/// T5's states, and the pooled state of CLIP (ComfyUI, flux.py of text_encoders).
fn combine(parts: Vec<PartStates>) -> Result<Encoded> {
    let [clip, t5] = parts.as_slice() else {
        return Err(Error::Unsupported(format!("expected two text encoders, found {}", parts.len())));
    };
    Ok(Encoded { states: t5.states.clone(), pooled: clip.pooled.clone() })
}

/// Reads the transformer in the names of the original code or of diffusers.
fn load(source: &Source) -> Result<Network> {
    let diffusers = source.has("single_transformer_blocks.0.");
    let entries = source.entries(if diffusers { super::names::diffusers } else { super::names::original });
    let config = match &source.config {
        Some(json) => FluxConfig::from_json(json)?,
        None => FluxConfig::from_shapes(&shapes_of(&entries)).map_err(|what| source.wrong(what))?,
    };
    source.build(entries, |part| Flux::build(config, part)).map(Network::new)
}

fn full_size(config: FluxConfig, part: &mut Part) -> Result<Network> {
    Flux::build(config, part).map(Network::new)
}

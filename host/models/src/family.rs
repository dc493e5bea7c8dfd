//! The model families: a row each, and how a file's keys tell them apart.

use crate::error::Result;
use crate::latent::Latent;
use crate::load::Source;
use crate::memory::Memory;
use crate::network::Network;
use crate::text::{Encoded, PartStates, TextPart, Texts};
use crate::weights::Part;
use crate::{flux, sd1, sd2, sdxl};
use std::collections::BTreeMap;

/// The families that can be loaded. Their marks exclude each other.
pub static FAMILIES: &[&Family] = &[&sd1::SD1, &sd2::SD2, &sdxl::SDXL, &flux::FLUX, &flux::SCHNELL];

/// A kind of model whose parts fit together.
pub struct Family {
    /// The name in messages and menus.
    pub name: &'static str,
    /// Latents of this family.
    pub latent: Latent,
    /// What the network predicts unless a checkpoint says otherwise.
    pub prediction: Prediction,
    /// The noise of its training.
    pub noise: Noise,
    /// `modelspec.architecture` of its checkpoints; that of its LoRA files has `/lora` behind it.
    pub architecture: &'static str,
    /// `ss_base_model_version` of its LoRA files.
    pub base_model_version: &'static str,
    /// Pixels of a side that it was trained on.
    pub side: usize,
    /// Its denoising network.
    pub network: NetworkRow,
    /// Its text encoders, in the order in which their states are put together.
    pub texts: &'static [TextRow],
    /// `type` of ComfyUI's nodes that load text encoders from files of their own.
    pub text_type: &'static str,
    /// Stem of the files with its small decoder for previews, as ComfyUI looks for them in `vae_approx`.
    pub small_decoder: &'static str,
    /// Puts together what the text encoders give.
    pub(crate) combine: fn(Vec<PartStates>) -> Result<Encoded>,
    /// A reason found in the keys and shapes of a checkpoint or network, or none.
    pub(crate) mark: fn(&Shapes) -> Option<String>,
    /// What the network of a file without a config predicts, if its tensors tell.
    pub(crate) predicts: fn(&Source) -> Option<Prediction>,
}

/// The denoising network of a family.
pub struct NetworkRow {
    /// Folder in a diffusers model, which is also its name in PEFT's LoRA files.
    pub folder: &'static str,
    /// In front of its layers in kohya's LoRA files.
    pub kohya: &'static str,
    /// The module of sd-scripts that trains LoRA on it, which is `ss_network_module` of such files.
    pub trainer: &'static str,
    /// In front of its keys in checkpoints of one file; a file of its own may leave it out.
    pub(crate) prefixes: &'static [&'static str],
    /// Reads it.
    pub(crate) load: fn(&Source) -> Result<Network>,
    /// Builds it at full size.
    pub(crate) full_size: fn(&mut Part) -> Result<Network>,
}

/// A text encoder of a family.
pub struct TextRow {
    /// `clip_l`, `clip_g`, `clip_h`, `t5xxl`: its name in ComfyUI.
    pub name: &'static str,
    /// Folder in a diffusers model, which is also its name in PEFT's LoRA files.
    pub folder: &'static str,
    /// Folder of its tokenizer in a diffusers model.
    pub tokenizer: &'static str,
    /// In front of its layers in kohya's LoRA files.
    pub kohya: &'static str,
    /// In front of its keys in checkpoints of one file; a file of its own may leave it out.
    pub(crate) prefixes: &'static [&'static str],
    /// A reason to take a file of its own for this encoder, by its keys without a prefix.
    pub(crate) mark: fn(&Shapes) -> Option<String>,
    /// Reads it.
    pub(crate) load: fn(&Source, &'static TextRow) -> Result<TextPart>,
    /// Builds it at full size.
    pub(crate) full_size: fn(&mut Part, &'static TextRow) -> Result<TextPart>,
}

impl Family {
    /// The family's full-size network with random weights, for measuring speed and memory. Values are made when a layer
    /// runs.
    pub fn random_network(&self, seed: u64, memory: &Memory) -> Result<Network> {
        (self.network.full_size)(&mut Part::random(seed).within(memory))
    }

    /// The family's full-size text encoders with random weights, for measuring speed.
    pub fn random_texts(&'static self, seed: u64, memory: &Memory) -> Result<Texts> {
        let part = |row: &'static TextRow| (row.full_size)(&mut Part::random(seed).within(memory), row);
        Ok(Texts::new(self, self.texts.iter().map(part).collect::<Result<_>>()?))
    }
}

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What a denoising network predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The noise (Ho et al. 2020).
    Epsilon,
    /// α·noise − σ·image (Salimans and Ho 2022).
    #[serde(rename = "v_prediction")]
    Velocity,
    /// noise − image, for flow matching (Liu et al. 2022).
    Flow,
}

/// The noise of a network's training.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Timesteps with a β each.
    Betas(Betas),
    /// Flow matching: straight lines from image (0) to noise (1).
    Flow {
        /// µ of the shift of times towards noise; 1.15 for Flux.1-dev.
        shift: f64,
    },
}

impl Noise {
    /// The betas, if it has any.
    pub fn betas(&self) -> Option<Betas> {
        match self {
            Noise::Betas(betas) => Some(*betas),
            Noise::Flow { .. } => None,
        }
    }
}

/// The noise schedule of a network's training.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Betas {
    /// β of timestep 0.
    pub start: f64,
    /// β of the last timestep.
    pub end: f64,
    /// Timesteps.
    pub steps: usize,
    /// Whether √β grows evenly (`scaled_linear`) rather than β.
    pub scaled: bool,
    /// Whether they are stretched so that the last timestep is pure noise (Lin et al. 2023, arXiv:2305.08891).
    #[serde(default)]
    pub zero_snr: bool,
}

/// How the keys of a file tell what it is, where it is no checkpoint that can be loaded.
pub(crate) struct Mark {
    pub(crate) name: &'static str,
    /// A reason found in the keys and shapes, or none.
    pub(crate) reason: fn(&Shapes) -> Option<String>,
    /// What to do with such a file.
    pub(crate) advice: &'static str,
}

/// Keys of a file and the shapes of their tensors.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// Files that are asked for before the families, because they may have layers named like theirs.
const BEFORE: &[Mark] = &[
    Mark { name: "a LoRA", reason: lora, advice: "load a checkpoint, then the LoRA onto it" },
    Mark { name: "a ControlNet", reason: control, advice: "ControlNets cannot be used here" },
    Mark { name: "SDXL refiner", reason: refiner, advice: "use the base model" },
    Mark { name: "SD 3", reason: |s| has(s, "joint_blocks.0."), advice: UNKNOWN },
];

/// Files that are parts of models; asked for when no family claims the keys.
const BEHIND: &[Mark] = &[
    Mark { name: "a small decoder for previews", reason: small_decoder, advice: "put it into the folder `vae_approx`" },
    Mark { name: "a VAE", reason: vae, advice: "load it with VAELoader" },
    Mark { name: "a text encoder", reason: text, advice: "load it with CLIPLoader or DualCLIPLoader" },
    Mark { name: "an embedding", reason: embedding, advice: "write `embedding:name` in a prompt" },
];

const UNKNOWN: &str = "this family cannot be loaded";

/// What a file is.
pub(crate) enum Kind {
    /// A checkpoint or a network.
    Family(&'static Family),
    Other(&'static Mark),
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Family(family) => family.name,
            Kind::Other(mark) => mark.name,
        }
    }
}

/// What the keys are those of, and why.
pub(crate) fn recognise(shapes: &Shapes) -> Option<(Kind, String)> {
    let other = |marks: &'static [Mark]| marks.iter().find_map(|m| Some((Kind::Other(m), (m.reason)(shapes)?)));
    let family = || FAMILIES.iter().find_map(|family| Some((Kind::Family(family), (family.mark)(shapes)?)));
    other(BEFORE).or_else(family).or_else(|| other(BEHIND))
}

pub(crate) fn has(shapes: &Shapes, part: &str) -> Option<String> {
    shapes.keys().find(|key| key.contains(part)).map(|key| format!("it has the key `{key}`"))
}

fn has_any(shapes: &Shapes, parts: &[&str]) -> Option<String> {
    parts.iter().find_map(|part| has(shapes, part))
}

fn lora(shapes: &Shapes) -> Option<String> {
    const PARTS: &[&str] = &[
        ".lora_down.",
        ".lora_up.",
        ".lora_A.",
        ".lora_B.",
        ".hada_w1",
        ".lokr_w",
        "lora.down.",
        "lora_linear_layer",
        ".oft_",
        ".dora_scale",
    ];
    has_any(shapes, PARTS)
}

fn control(shapes: &Shapes) -> Option<String> {
    has_any(shapes, &["control_model.", "controlnet_", "zero_convs.", "controlnet.", "ip_adapter."])
}

fn refiner(shapes: &Shapes) -> Option<String> {
    let reason = has(shapes, "conditioner.embedders.0.model.")?;
    has(shapes, "conditioner.embedders.1.").is_none().then_some(reason)
}

fn vae(shapes: &Shapes) -> Option<String> {
    has_any(shapes, &["decoder.up_blocks.0.", "decoder.up.0.block.0."])
}

fn text(shapes: &Shapes) -> Option<String> {
    has_any(
        shapes,
        &["embeddings.token_embedding.weight", "transformer.resblocks.0.", "encoder.block.0.layer.0.SelfAttention."],
    )
}

fn small_decoder(shapes: &Shapes) -> Option<String> {
    let few = shapes.len() < 400 && !shapes.keys().any(|key| key.contains("attn"));
    few.then(|| has_any(shapes, &["decoder.layers.3.conv.0.", "3.conv.0.weight"])).flatten()
}

fn embedding(shapes: &Shapes) -> Option<String> {
    let rows = shapes.values().all(|shape| shape.len() <= 2);
    (rows && shapes.len() <= 4)
        .then(|| has_any(shapes, &["emb_params", "string_to_param", "clip_l", "clip_g", "<"]))
        .flatten()
}

/// Whether a network is conditioned on a picture's size, and by which key.
pub(crate) fn sized(shapes: &Shapes) -> Option<String> {
    has(shapes, "label_emb.0.").or_else(|| has(shapes, "add_embedding."))
}

/// The width of the text states, from the first attention to the text.
pub(crate) fn text_width(shapes: &Shapes) -> Option<(&str, usize)> {
    let key = shapes.iter().find(|(key, _)| key.ends_with("attn2.to_k.weight"))?;
    Some((key.0, *key.1.last()?))
}

/// Whether the transformers' projections are linear layers, and by which key.
pub(crate) fn linear_projection(shapes: &Shapes) -> Option<&str> {
    let mut keys = shapes.iter().filter(|(key, shape)| key.ends_with(".proj_in.weight") && shape.len() == 2);
    keys.next().map(|(key, _)| key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(keys: &[(&str, &[usize])]) -> Option<&'static str> {
        let shapes = keys.iter().map(|(k, s)| (k.to_string(), s.to_vec())).collect();
        recognise(&shapes).map(|(kind, _)| kind.name())
    }

    #[test]
    fn families_are_told_apart() {
        let to_k = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
        let proj = "model.diffusion_model.input_blocks.1.1.proj_in.weight";
        let label = "model.diffusion_model.label_emb.0.0.weight";
        assert_eq!(name(&[(to_k, &[320, 768])]), Some("SD 1.x"));
        assert_eq!(name(&[(to_k, &[320, 768]), (proj, &[320, 320, 1, 1])]), Some("SD 1.x"));
        assert_eq!(name(&[(to_k, &[320, 1024])]), Some("SD 2.x"));
        assert_eq!(name(&[(to_k, &[8, 24]), (proj, &[8, 8])]), Some("SD 2.x"));
        assert_eq!(name(&[(to_k, &[320, 2048]), (label, &[1280, 2816]), (proj, &[8, 8])]), Some("SDXL"));
        assert_eq!(name(&[("lora_unet_x.lora_down.weight", &[1, 1])]), Some("a LoRA"));
        assert_eq!(
            name(&[("encoder.down.0.block.0.conv1.weight", &[1]), ("decoder.up.0.block.0.conv1.weight", &[1])]),
            Some("a VAE")
        );
        assert_eq!(name(&[("text_model.embeddings.token_embedding.weight", &[9, 9])]), Some("a text encoder"));
        assert_eq!(name(&[("emb_params", &[2, 768])]), Some("an embedding"));
        assert_eq!(name(&[("control_model.zero_convs.0.0.weight", &[1]), (to_k, &[320, 768])]), Some("a ControlNet"));
        assert_eq!(name(&[("something.else", &[1])]), None);
    }

    #[test]
    fn rows_are_complete_and_unique() {
        for (i, family) in FAMILIES.iter().enumerate() {
            assert!(!family.name.is_empty() && !family.architecture.is_empty() && family.latent.factor > 0);
            assert!(FAMILIES[..i].iter().all(|other| other.name != family.name));
            assert_eq!(family.latent.rgb.len(), family.latent.channels, "{}", family.name);
            assert!(!family.texts.is_empty() && !family.network.prefixes.is_empty());
            for (j, text) in family.texts.iter().enumerate() {
                let before = &family.texts[..j];
                assert!(before.iter().all(|t| t.name != text.name && t.kohya != text.kohya && t.folder != text.folder));
            }
        }
    }
}

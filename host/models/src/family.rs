//! The model families: a row each, and how a file's keys tell them apart.

use std::collections::BTreeMap;

/// A kind of model whose parts fit together.
#[derive(Debug)]
pub struct Family {
    /// The name in messages and menus.
    pub name: &'static str,
    /// Latents of this family.
    pub latent: Latent,
    /// What the network predicts unless a checkpoint says otherwise.
    pub prediction: Prediction,
    /// The noise schedule of its training.
    pub betas: Betas,
    /// `modelspec.architecture` of its checkpoints; that of its LoRA files has `/lora` behind it.
    pub architecture: &'static str,
    /// `ss_base_model_version` of its LoRA files.
    pub base_model_version: &'static str,
    /// Pixels of a side that it was trained on.
    pub side: usize,
}

/// The latents of a family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latent {
    /// Channels.
    pub channels: usize,
    /// Pixels of an image for each pixel of a latent, both ways.
    pub factor: usize,
    /// Factor that gives latents a variance near one; a checkpoint's VAE may say otherwise.
    pub scaling: f64,
    /// Subtracted before the factor.
    pub shift: f64,
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
}

/// SD 1.x, and every network of its architecture of whatever size.
pub(crate) static SD1: Family = Family {
    name: "SD 1.x",
    latent: Latent { channels: 4, factor: 8, scaling: 0.18215, shift: 0.0 },
    prediction: Prediction::Epsilon,
    betas: Betas { start: 0.00085, end: 0.012, steps: 1000, scaled: true },
    architecture: "stable-diffusion-v1",
    base_model_version: "sd_v1",
    side: 512,
};

/// The families that can be loaded.
pub static FAMILIES: &[&Family] = &[&SD1];

/// How the keys of a checkpoint or LoRA tell what it is.
pub(crate) struct Mark {
    pub(crate) name: &'static str,
    /// The family, if it can be loaded.
    pub(crate) family: Option<&'static Family>,
    /// A reason found in the keys and shapes, or none.
    pub(crate) reason: fn(&Shapes) -> Option<String>,
}

/// Keys of a file and the shapes of their tensors.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// From the most to the least particular.
pub(crate) const MARKS: &[Mark] = &[
    Mark { name: "a LoRA", family: None, reason: lora },
    Mark { name: "Flux.1", family: None, reason: flux },
    Mark { name: "SD 3", family: None, reason: |s| has(s, "joint_blocks.0.") },
    Mark { name: "SDXL", family: None, reason: sdxl },
    Mark { name: "SD 2.x", family: None, reason: sd2 },
    Mark { name: "SD 1.x", family: Some(&SD1), reason: sd1 },
];

/// The first family whose mark the keys have, and why.
pub(crate) fn recognise(shapes: &Shapes) -> Option<(&'static Mark, String)> {
    MARKS.iter().find_map(|mark| Some((mark, (mark.reason)(shapes)?)))
}

fn has(shapes: &Shapes, part: &str) -> Option<String> {
    shapes.keys().find(|key| key.contains(part)).map(|key| format!("it has the key `{key}`"))
}

fn lora(shapes: &Shapes) -> Option<String> {
    [".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".hada_w1", ".lokr_w", "lora.down.", "lora_linear_layer"]
        .iter()
        .find_map(|part| has(shapes, part))
}

fn flux(shapes: &Shapes) -> Option<String> {
    has(shapes, "double_blocks.0.").or_else(|| has(shapes, "single_transformer_blocks.0."))
}

fn sdxl(shapes: &Shapes) -> Option<String> {
    has(shapes, "conditioner.embedders.1.")
        .or_else(|| has(shapes, "label_emb.0."))
        .or_else(|| has(shapes, "add_embedding."))
}

/// The width of the text states, from the first attention to the text.
fn text_width(shapes: &Shapes) -> Option<(&str, usize)> {
    let key = shapes.iter().find(|(key, _)| key.ends_with("attn2.to_k.weight"))?;
    Some((key.0, *key.1.last()?))
}

fn sd2(shapes: &Shapes) -> Option<String> {
    if let Some(reason) = has(shapes, "cond_stage_model.model.transformer.resblocks.0.") {
        return Some(reason);
    }
    let (key, width) = text_width(shapes)?;
    (width == 1024).then(|| format!("`{key}` takes text states of 1024 features"))
}

fn sd1(shapes: &Shapes) -> Option<String> {
    let (key, width) = text_width(shapes)?;
    Some(format!("`{key}` takes text states of {width} features, and nothing speaks for another family"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(keys: &[(&str, &[usize])]) -> Option<&'static str> {
        let shapes = keys.iter().map(|(k, s)| (k.to_string(), s.to_vec())).collect();
        recognise(&shapes).map(|(mark, _)| mark.name)
    }

    #[test]
    fn families_are_told_apart() {
        let to_k = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
        assert_eq!(name(&[(to_k, &[320, 768])]), Some("SD 1.x"));
        assert_eq!(name(&[(to_k, &[320, 1024])]), Some("SD 2.x"));
        assert_eq!(name(&[(to_k, &[320, 2048]), ("conditioner.embedders.1.model.ln_final.bias", &[1])]), Some("SDXL"));
        assert_eq!(name(&[("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", &[1, 1])]), Some("Flux.1"));
        assert_eq!(name(&[("lora_unet_x.lora_down.weight", &[1, 1])]), Some("a LoRA"));
        assert_eq!(name(&[("something.else", &[1])]), None);
    }

    #[test]
    fn rows_are_complete_and_unique() {
        for (i, family) in FAMILIES.iter().enumerate() {
            assert!(!family.name.is_empty() && !family.architecture.is_empty() && family.latent.factor > 0);
            assert!(FAMILIES[..i].iter().all(|other| other.name != family.name));
            assert!(MARKS.iter().any(|mark| mark.family.is_some_and(|f| f.name == family.name)));
        }
    }
}

//! SD 2.x: SD 1.x's latents with OpenCLIP's ViT-H for the text and linear projections. The larger models predict v
//! (Salimans and Ho 2022), those of 512 pixels noise. Source: Stability-AI/stablediffusion, configs v2-inference.

use crate::clip::{self, Reading};
use crate::family::{Family, NetworkRow, Noise, Prediction, Shapes, TextRow};
use crate::family::{has, linear_projection, sized, text_width};
use crate::latent;
use crate::load::Source;
use crate::sd1::{BETAS, only};
use crate::unet::{self, Heads, Naming, UNetConfig};

const HEADS: Heads = Heads::Size(64);
/// The state before the last layer of the whole encoder, behind the final norm.
const READING: Reading = Reading { skip: 2, norm: true, projects: false, pooled: false };

pub(crate) static SD2: Family = Family {
    name: "SD 2.x",
    latent: latent::SD,
    prediction: Prediction::Velocity,
    noise: Noise::Betas(BETAS),
    architecture: "stable-diffusion-v2-768-v",
    base_model_version: "sd_v2_768_v",
    side: 768,
    network: NetworkRow {
        folder: "unet",
        kohya: unet::KOHYA,
        trainer: "networks.lora",
        prefixes: &["model.diffusion_model."],
        load: |source| unet::load(source, HEADS, Naming::Diffusers),
        full_size: |part| unet::full_size(UNetConfig::sd21(), part, Naming::Diffusers),
    },
    texts: &[TextRow {
        name: "clip_h",
        folder: "text_encoder",
        tokenizer: "tokenizer",
        kohya: "lora_te_",
        prefixes: &["cond_stage_model.model.", "cond_stage_model.transformer.", "text_encoders.clip_h.transformer."],
        mark: clip::is_h,
        load: |source, row| clip::load(source, row, &clip::H, READING),
        full_size: |part, row| clip::full_size(part, row, &clip::H, READING),
    }],
    text_type: "stable_diffusion",
    small_decoder: "taesd",
    combine: only,
    mark,
    predicts,
};

fn mark(shapes: &Shapes) -> Option<String> {
    if sized(shapes).is_some() {
        return None;
    }
    if let Some(reason) = has(shapes, "cond_stage_model.model.transformer.resblocks.0.") {
        return Some(reason);
    }
    let (key, width) = text_width(shapes)?;
    if width == 1024 {
        return Some(format!("`{key}` takes text states of 1024 features"));
    }
    linear_projection(shapes).map(|key| format!("`{key}` is a linear layer, and the picture's size is not asked for"))
}

/// The bias of one norm spreads more in the networks that predict v (ComfyUI, supported_models.py SD20).
fn predicts(source: &Source) -> Option<Prediction> {
    let bias = source.values("output_blocks.11.1.transformer_blocks.0.norm1.bias")?;
    let mean = bias.iter().sum::<f32>() / bias.len() as f32;
    let variance = bias.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / bias.len() as f32;
    Some(if variance.sqrt() > 0.09 { Prediction::Velocity } else { Prediction::Epsilon })
}

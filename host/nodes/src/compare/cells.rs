//! Making the pictures of a grid: as many at once as share a model.

use super::lists::Prompt;
use crate::conditioning::{COMFYUI, encode};
use crate::latent::decode;
use crate::sampling::{Guidance, Start, Walk, same_length};
use crate::types::{Clip, ImageBatch, Model, VaeModel};
use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use data::Image;
use engine::Context;
use sample::StepNoise;
use sample::rng::TorchCpu;

/// How all pictures of a grid are made.
pub(super) struct Settings<'a> {
    pub(super) walk: Walk<'a>,
    pub(super) cfg: f64,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) device: &'a Device,
}

/// One picture to make.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) prompt: &'a Prompt,
    pub(super) seed: u64,
}

/// Counts the sampling steps of all pictures, for progress and remaining time.
pub(super) struct Count {
    pub(super) done: u64,
    pub(super) total: u64,
}

/// Latent pixels of a batch: 16 pictures of 96×96, one of 512×512.
const BATCH: usize = 4096;

/// Pictures in a batch.
pub(super) fn batch(width: usize, height: usize, factor: usize) -> usize {
    (BATCH / (width / factor * (height / factor)).max(1)).clamp(1, 16)
}

/// Makes pictures with one model. Each has noise from its own seed, so that it equals the one that `KSampler` makes
/// from that seed alone.
pub(super) fn make(
    ctx: &Context,
    settings: &Settings<'_>,
    (model, clip, vae): (&Model, &Clip, &VaeModel),
    wanted: &[Wanted<'_>],
    count: &mut Count,
) -> Result<Vec<Image>> {
    let latent = &model.family.latent;
    let (h, w) = (settings.height / latent.factor, settings.width / latent.factor);
    if h == 0 || w == 0 {
        bail!("expected at least {} pixels a side, found {}×{}", latent.factor, settings.width, settings.height);
    }
    let mut texts: Vec<(&Prompt, (Tensor, Tensor))> = Vec::new();
    for one in wanted {
        if !texts.iter().any(|(prompt, _)| *prompt == one.prompt) {
            let positive = encode(ctx, clip, COMFYUI, &one.prompt.positive)?.first()?.states.clone();
            let negative = encode(ctx, clip, COMFYUI, &one.prompt.negative)?.first()?.states.clone();
            texts.push((one.prompt, (positive, negative)));
        }
    }
    let mut images = Vec::with_capacity(wanted.len());
    for part in wanted.chunks(batch(settings.width, settings.height, latent.factor)) {
        let of = |one: &Wanted<'_>| texts.iter().find(|(prompt, _)| *prompt == one.prompt).map(|(_, t)| t.clone());
        let (positive, negative): (Vec<Tensor>, Vec<Tensor>) = part.iter().filter_map(of).unzip();
        let (positive, negative) = (stack(positive)?, stack(negative)?);
        let guidance = Guidance { positive: &positive, negative: &negative, cfg: settings.cfg };
        let shape = (part.len(), latent.channels, h, w);
        let each = latent.channels * h * w;
        let noise: Vec<f32> = part.iter().flat_map(|one| TorchCpu::new(one.seed).randn(each)).collect();
        let noise = Tensor::from_vec(noise, shape, settings.device)?;
        let seeds: Vec<u64> = part.iter().map(|one| one.seed).collect();
        let start = Start { latent: noise.zeros_like()?, noise, steps: StepNoise::from_seeds(&seeds) };
        let latents = settings.walk.go(ctx, model, &guidance, start, (count.done, count.total))?;
        count.done += settings.walk.steps as u64;
        ctx.check_cancelled()?;
        images.extend_from_slice(ImageBatch::from_pixels(decode(vae, &latents)?)?.images());
    }
    Ok(images)
}

/// Texts of all pictures of a batch, repeated to one length: (b, n, d).
fn stack(texts: Vec<Tensor>) -> Result<Tensor> {
    let mut longest = texts[0].clone();
    for text in &texts {
        longest = same_length(&longest, text)?.0;
    }
    let texts = texts.iter().map(|t| Ok(same_length(t, &longest)?.0)).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&texts, 0)?)
}

//! Making the pictures of a grid: as many at once as share a model.

use super::lists::Prompt;
use crate::conditioning::{COMFYUI, encode};
use crate::latent::decode;
use crate::sampling::{Start, Walk, same_length, walk};
use crate::types::{Clip, Cond, Conditioning, Guidance, ImageBatch, Model, VaeModel};
use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use data::Image;
use engine::Context;
use sample::{Engine, Generator, Noises, StepNoise, image_noise};
use std::sync::Arc;

/// How all pictures of a grid are made.
pub(super) struct Settings<'a> {
    pub(super) walk: Walk<'a>,
    pub(super) cfg: f64,
    pub(super) guidance: Option<f64>,
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
    let mut texts: Vec<(&Prompt, Lead)> = Vec::new();
    for one in wanted {
        if !texts.iter().any(|(prompt, _)| *prompt == one.prompt) {
            let lead = |text: &str| -> Result<Cond> {
                let encoded = encode(ctx, clip, COMFYUI, text)?;
                Ok(Cond { guidance: settings.guidance, ..encoded.first()?.clone() })
            };
            texts.push((one.prompt, (lead(&one.prompt.positive)?, lead(&one.prompt.negative)?)));
        }
    }
    let path = settings.walk.path(model)?;
    let mut images = Vec::with_capacity(wanted.len());
    for part in wanted.chunks(batch(settings.width, settings.height, latent.factor)) {
        let of = |one: &Wanted<'_>| texts.iter().find(|(prompt, _)| *prompt == one.prompt).map(|(_, t)| t.clone());
        let (positive, negative): (Vec<Cond>, Vec<Cond>) = part.iter().filter_map(of).unzip();
        let (positive, negative) = (stack(&positive)?, stack(&negative)?);
        let guidance = Guidance::Classifier { positive, negative, cfg: settings.cfg };
        let shape = (part.len(), latent.channels, h, w);
        let mut rngs: Vec<Generator> = part.iter().map(|one| Engine::TorchCpu.generator(one.seed)).collect();
        let noise = image_noise(&mut rngs, shape, settings.device)?;
        let seeds: Vec<u64> = part.iter().map(|one| one.seed).collect();
        let start = Start {
            latent: noise.zeros_like()?,
            noise: Noises { start: noise, steps: StepNoise::from_seeds(&seeds) },
            mask: None,
            seed: part.first().map_or(0, |one| one.seed),
        };
        let done = walk(ctx, model, &guidance, &path, start, (count.done, count.total))?;
        count.done += settings.walk.steps as u64;
        ctx.check_cancelled()?;
        images.extend_from_slice(ImageBatch::from_pixels(decode(vae, &done.samples)?)?.images());
    }
    Ok(images)
}

/// A positive and a negative prompt.
type Lead = (Cond, Cond);

/// The prompts of all pictures of a batch as one, texts repeated to one length: states (b, n, d), pooled (b, d).
fn stack(conds: &[Cond]) -> Result<Arc<Conditioning>> {
    let mut longest = conds[0].states.clone();
    for cond in conds {
        longest = same_length(&longest, &cond.states)?.0;
    }
    let states = conds.iter().map(|c| Ok(same_length(&c.states, &longest)?.0)).collect::<Result<Vec<_>>>()?;
    let pooled: Option<Vec<&Tensor>> = conds.iter().map(|c| c.pooled.as_ref()).collect();
    let pooled = pooled.map(|pooled| Tensor::cat(&pooled, 0)).transpose()?;
    let one = Cond { states: Tensor::cat(&states, 0)?, pooled, ..conds[0].clone() };
    Ok(Arc::new(Conditioning(vec![one])))
}

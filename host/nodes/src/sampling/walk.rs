//! What all sampling nodes share: the walk along the sigmas, from latents on links to latents on links.

use super::beside::Scene;
use super::guide::Guided;
use super::leads::{Sides, stretch};
use super::preview::Previews;
use crate::types::{Guidance, Latent, Model, Noise};
use anyhow::{Result, bail};
use candle_core::{DType, Tensor};
use engine::Context;
use sample::{Denoiser, Differential, Engine, Inpaint, NoiseRule, Noises, SAMPLERS, SCHEDULES, StepNoise};

/// Which steps are walked, and how.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub(crate) sampler: &'a str,
    pub(crate) scheduler: &'a str,
    pub(crate) steps: usize,
    pub(crate) denoise: f64,
    /// Steps outside of start..end are left out.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Go to sigma 0 at the end, even if steps are left out.
    pub(crate) finish: bool,
}

impl Walk<'_> {
    /// The sampler, and the noise levels that it visits.
    pub(crate) fn path(&self, model: &Model) -> Result<Path> {
        let sampler = sample::sampler(self.sampler)?;
        let schedule = sample::schedule(self.scheduler)?;
        let sigmas = sample::list_of_sigmas(sampler, schedule, &model.sigma_table(), self.steps, self.denoise)?;
        Ok(Path { sampler, sigmas: sample::keep_steps(sigmas, self.start, self.end, self.finish) })
    }
}

/// A sampler, and the noise levels that it visits.
pub(crate) struct Path {
    pub(crate) sampler: &'static sample::Sampler,
    pub(crate) sigmas: Vec<f64>,
}

/// What is walked from.
pub(crate) struct Start {
    /// (b, c, h, w), as links carry latents.
    pub(crate) latent: Tensor,
    /// Start noise of the same shape, and where that of the steps comes from.
    pub(crate) noise: Noises,
    /// Where the latent is made anew (1) and where it is kept (0): (1 or b, 1, H, W).
    pub(crate) mask: Option<Tensor>,
    /// Of the noise.
    pub(crate) seed: u64,
}

impl Start {
    /// From a latent with noise of a source. An empty latent gets the model's number of channels: nodes that make one
    /// cannot know it.
    pub(crate) fn new(model: &Model, latent: &Latent, noise: Noise) -> Result<Self> {
        let samples = fitting(model, &latent.samples)?;
        let (shape, indices) = (samples.dims4()?, latent.batch_index.as_deref());
        let device = samples.device().clone();
        let seed = match noise {
            Noise::Random { seed } | Noise::PerImage { seed, .. } => seed,
            Noise::Off => 0,
        };
        let noise = match noise {
            Noise::Random { seed } => {
                NoiseRule::OneDrawForTheBatch.noise(Engine::TorchCpu, seed, 0, shape, indices, &device)?
            }
            Noise::PerImage { seed, engine, delta } => {
                NoiseRule::OneGeneratorPerImage.noise(engine, seed, delta, shape, indices, &device)?
            }
            Noise::Off => Noises { start: samples.zeros_like()?, steps: StepNoise::from_seed(0) },
        };
        Ok(Self { latent: samples, noise, mask: latent.noise_mask.clone(), seed })
    }
}

/// What came out, (b, c, h, w), as links carry latents.
pub(crate) struct Done {
    pub(crate) samples: Tensor,
    /// The clean guess of the last step; the samples if there was none.
    pub(crate) denoised: Tensor,
}

/// Samples. Reports each step, offset by `done` of `total` steps (0: as many as the walk has), and stops there if the
/// run was cancelled.
pub(crate) fn walk(
    ctx: &Context,
    model: &Model,
    guidance: &Guidance,
    path: &Path,
    start: Start,
    (done, total): (u64, u64),
) -> Result<Done> {
    let Start { latent: raw, noise: Noises { start: noise, steps: mut fresh }, mask, seed } = start;
    let Path { sampler, sigmas } = path;
    let [first, .., last] = sigmas[..] else { return Ok(Done { denoised: raw.clone(), samples: raw }) };
    let table = model.sigma_table();
    let total = if total == 0 { sigmas.len() as u64 - 1 } else { total };
    let latent = scaled(model, &raw)?;
    let (b, _, h, w) = latent.dims4()?;
    let sides = Sides { b, h, w };
    let x = table.start(first, &latent, &noise)?;
    let mask = mask.map(|mask| stretch(&mask, sides)).transpose()?;
    let scene = Scene { latent: Some(&latent), mask: mask.as_ref(), seed };
    let mut guided = Guided::new(guidance, model, &table, sides, scene, latent.device())?;
    let noise = if mask.is_some() && sampler.mask_noise_anew { fresh.draw(&latent)? } else { noise };
    let mut inpaint;
    let denoiser: &mut dyn Denoiser = match &mask {
        Some(mask) => {
            let differential = model.differential.map(|s| (Differential::new(&table, sigmas, s), &table));
            inpaint = Inpaint { denoiser: &mut guided, mask, latent: &latent, noise: &noise, differential };
            &mut inpaint
        }
        None => &mut guided,
    };
    let mut previews = Previews::new(ctx, model);
    let mut denoised = None;
    let end = sampler.sample(denoiser, x, sigmas, &mut fresh, &mut |info| {
        ctx.check_cancelled()?;
        ctx.progress(done + info.step as u64 + 1, total, &format!("sigma {:.3}", info.sigma));
        previews.show(info.denoised)?;
        denoised = Some(info.denoised.clone());
        Ok(())
    })?;
    let samples = model.latent.unscale(&table.finish(last, end)?)?;
    let denoised = denoised.map(|guess| model.latent.unscale(&guess)).transpose()?;
    Ok(Done { denoised: denoised.unwrap_or_else(|| samples.clone()), samples })
}

/// A latent of the model's number of channels.
fn fitting(model: &Model, samples: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = samples.dims4()?;
    let channels = model.latent.channels;
    if c == channels {
        return Ok(samples.clone());
    }
    if !is_empty(samples)? {
        bail!(
            "expected a latent of {channels} channels, as {} has them, found {c}; encode the picture with this \
             model's VAE",
            model.family.name
        );
    }
    Ok(Tensor::zeros((b, channels, h, w), DType::F32, samples.device())?)
}

fn is_empty(latent: &Tensor) -> Result<bool> {
    Ok(latent.elem_count() == 0 || latent.abs()?.max_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()? == 0.0)
}

/// Latents as samplers have them. Empty ones stay zero, whatever the family's shift (ComfyUI, `CFGGuider.inner_sample`).
pub(super) fn scaled(model: &Model, latent: &Tensor) -> Result<Tensor> {
    Ok(if is_empty(latent)? { latent.clone() } else { model.latent.scale(latent)? })
}

/// Repeats both until they are of one length. Attention to a text that is repeated as a whole is attention to the text.
pub(crate) fn same_length(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let (n, m) = (a.dim(1)?, b.dim(1)?);
    let (mut x, mut y) = (n, m);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    let common = n / x * m;
    Ok((a.repeat((1, common / n, 1))?, b.repeat((1, common / m, 1))?))
}

/// Names for the input `sampler_name`.
pub(crate) fn sampler_names() -> Vec<&'static str> {
    SAMPLERS.iter().map(|s| s.name).collect()
}

/// Names for the input `scheduler`.
pub(crate) fn scheduler_names() -> Vec<&'static str> {
    SCHEDULES.iter().map(|s| s.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn texts_are_repeated_to_one_length() {
        let a = Tensor::new(&[[[1f32], [2.0]]], &Device::Cpu).unwrap();
        let b = Tensor::new(&[[[5f32], [6.0], [7.0]]], &Device::Cpu).unwrap();
        let (a, b) = same_length(&a, &b).unwrap();
        let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(a), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        assert_eq!(flat(b), [5.0, 6.0, 7.0, 5.0, 6.0, 7.0]);
    }
}

//! What all sampling nodes share: the model as a denoiser, with guidance, and the walk along the sigmas.

use crate::types::{Conditioning, Model};
use anyhow::{Result, bail};
use candle_core::Tensor;
use engine::Context;
use models::Cond;
use sample::rng::TorchCpu;
use sample::{Denoiser, NetworkDenoiser, SAMPLERS, SCHEDULES, StepNoise};

/// What the pictures are led by.
pub(crate) struct Guidance<'a> {
    /// (1, n, d) for all pictures, or (b, n, d).
    pub(crate) positive: &'a Tensor,
    pub(crate) negative: &'a Tensor,
    pub(crate) cfg: f64,
}

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

/// What is walked from: latents (b, c, h, w), noise of the same shape, and the noise of further steps.
pub(crate) struct Start {
    pub(crate) latent: Tensor,
    pub(crate) noise: Tensor,
    pub(crate) steps: StepNoise,
}

/// The states of a single prompt that leads everywhere and all the time.
pub(crate) fn plain(conditioning: &Conditioning) -> Result<&Tensor> {
    match &conditioning.0[..] {
        [one] if one.area.is_none() && one.mask.is_none() && one.range == (0.0, 1.0) => Ok(&one.states),
        [_] => bail!("prompts for a part of the picture or of the steps are not supported here"),
        all => bail!("expected one prompt, found {}", all.len()),
    }
}

impl Walk<'_> {
    /// Samples. Reports each step, offset by `done` of `total` steps, and stops there if the run was cancelled.
    pub(crate) fn go(
        &self,
        ctx: &Context,
        model: &Model,
        guidance: &Guidance<'_>,
        start: Start,
        (done, total): (u64, u64),
    ) -> Result<Tensor> {
        let table = model.sigma_table();
        let sampler = sample::sampler(self.sampler)?;
        let schedule = sample::schedule(self.scheduler)?;
        let sigmas = sample::list_of_sigmas(sampler, schedule, &table, self.steps, self.denoise)?;
        let sigmas = sample::keep_steps(sigmas, self.start, self.end, self.finish);
        let [first, _, ..] = sigmas[..] else { return Ok(start.latent) };
        let total = if total == 0 { sigmas.len() as u64 - 1 } else { total };
        let latent = scaled(model, &start.latent)?;
        let x = table.start(first, &latent, &start.noise)?;
        let (b, ..) = x.dims4()?;
        let texts = Texts::new(guidance, b)?;
        let mut network = NetworkDenoiser {
            table: &table,
            prediction: model.sampler_prediction(),
            network: |x: &Tensor, timestep: f64| {
                let times = Tensor::new(&[timestep as f32], x.device())?;
                Ok(model.network.forward(x, &times, &Cond::text(texts.states.clone()))?)
            },
        };
        let mut guided = |x: &Tensor, sigma: f64| {
            if !texts.both {
                return network.denoise(x, sigma);
            }
            let guesses = network.denoise(&Tensor::cat(&[x, x], 0)?, sigma)?;
            sample::guide(&guesses.narrow(0, 0, b)?, &guesses.narrow(0, b, b)?, guidance.cfg)
        };
        let mut noise = start.steps;
        let done = sampler.sample(&mut guided, x, &sigmas, &mut noise, &mut |info| {
            ctx.check_cancelled()?;
            ctx.progress(done + info.step as u64 + 1, total, &format!("sigma {:.3}", info.sigma));
            Ok(())
        })?;
        Ok(model.latent.unscale(&done)?)
    }
}

/// Latents as samplers have them. Empty ones stay zero, whatever the family's shift (ComfyUI, samplers.py).
fn scaled(model: &Model, latent: &Tensor) -> Result<Tensor> {
    let empty = latent.abs()?.max_all()?.to_scalar::<f32>()? == 0.0;
    Ok(if empty { latent.clone() } else { model.latent.scale(latent)? })
}

/// The text states of one call of the network.
struct Texts {
    /// (b, n, d), or (2b, n, d) with the negative ones behind.
    states: Tensor,
    both: bool,
}

impl Texts {
    fn new(guidance: &Guidance<'_>, b: usize) -> Result<Self> {
        // A guidance of 1 is the positive prompt alone: half of the work.
        if (guidance.cfg - 1.0).abs() < 1e-9 {
            return Ok(Self { states: spread(guidance.positive, b)?, both: false });
        }
        let (positive, negative) = same_length(guidance.positive, guidance.negative)?;
        Ok(Self { states: Tensor::cat(&[spread(&positive, b)?, spread(&negative, b)?], 0)?, both: true })
    }
}

/// One text for every picture.
fn spread(states: &Tensor, b: usize) -> Result<Tensor> {
    let (n, t, d) = states.dims3()?;
    match n {
        _ if n == b => Ok(states.clone()),
        1 => Ok(states.broadcast_as((b, t, d))?.contiguous()?),
        _ => bail!("{n} prompts do not fit {b} pictures"),
    }
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

/// The start noise that torch's CPU generator draws for one seed: a batch is one draw, as in ComfyUI.
pub(crate) fn noise_of(seed: u64, like: &Tensor) -> Result<Tensor> {
    let noise = TorchCpu::new(seed).randn(like.elem_count());
    Ok(Tensor::from_vec(noise, like.shape(), like.device())?)
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

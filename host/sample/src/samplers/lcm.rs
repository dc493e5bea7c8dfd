//! For latent consistency models: take the guess, put noise of the next level on it.

use super::{Report, Sampler, StepInfo, combine, steps};
use crate::{Denoiser, StepNoise};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const LCM: Sampler = Sampler {
    name: "lcm",
    source: "Luo et al. 2023 (arXiv:2310.04378), Algorithm 3",
    discard_penultimate: false,
    run: lcm,
};

fn lcm(
    denoiser: &mut dyn Denoiser,
    mut x: Tensor,
    sigmas: &[f64],
    noise: &mut StepNoise,
    report: &mut Report<'_>,
) -> Result<Tensor> {
    for (step, sigma, next) in steps(sigmas) {
        let denoised = denoiser.denoise(&x, sigma)?;
        report(StepInfo { step, total: sigmas.len() - 1, sigma, x: &x, denoised: &denoised })?;
        x = if next > 0.0 { combine(&[(1.0, &denoised), (next, &noise.draw(&x)?)])? } else { denoised };
    }
    Ok(x)
}

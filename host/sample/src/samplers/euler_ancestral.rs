//! Euler's method with part of each step replaced by fresh noise.

use super::{Report, Sampler, StepInfo, ancestral, combine, slope, steps};
use crate::{Denoiser, StepNoise};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const EULER_ANCESTRAL: Sampler = Sampler {
    name: "euler_ancestral",
    source: "k-diffusion, sample_euler_ancestral; the split of a step is from Song et al. 2020 (arXiv:2010.02502)",
    discard_penultimate: false,
    run: euler_ancestral,
};

fn euler_ancestral(
    denoiser: &mut dyn Denoiser,
    mut x: Tensor,
    sigmas: &[f64],
    noise: &mut StepNoise,
    report: &mut Report<'_>,
) -> Result<Tensor> {
    for (step, sigma, next) in steps(sigmas) {
        let denoised = denoiser.denoise(&x, sigma)?;
        report(StepInfo { step, total: sigmas.len() - 1, sigma, x: &x, denoised: &denoised })?;
        let (down, up) = ancestral(sigma, next);
        x = if down == 0.0 {
            denoised
        } else {
            let d = slope(&x, &denoised, sigma)?;
            combine(&[(1.0, &x), (down - sigma, &d), (up, &noise.draw(&x)?)])?
        };
    }
    Ok(x)
}

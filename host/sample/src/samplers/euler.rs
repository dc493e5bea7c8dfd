//! Euler's method: one call of the model a step.

use super::{Report, Sampler, StepInfo, slope, steps};
use crate::{Denoiser, StepNoise};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const EULER: Sampler = Sampler {
    name: "euler",
    source: "Karras et al. 2022 (arXiv:2206.00364), Algorithm 2 without churn",
    discard_penultimate: false,
    run: euler,
};

pub(super) fn euler(
    denoiser: &mut dyn Denoiser,
    mut x: Tensor,
    sigmas: &[f64],
    _: &mut StepNoise,
    report: &mut Report<'_>,
) -> Result<Tensor> {
    for (step, sigma, next) in steps(sigmas) {
        let denoised = denoiser.denoise(&x, sigma)?;
        report(StepInfo { step, total: sigmas.len() - 1, sigma, x: &x, denoised: &denoised })?;
        x = (&x + (slope(&x, &denoised, sigma)? * (next - sigma))?)?;
    }
    Ok(x)
}

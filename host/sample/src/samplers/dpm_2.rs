//! The midpoint method in the logarithm of sigma, two calls of the model a step.

use super::{Report, Sampler, StepInfo, combine, slope, steps};
use crate::{Denoiser, StepNoise};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPM_2: Sampler = Sampler {
    name: "dpm_2",
    source: "k-diffusion, sample_dpm_2: after Karras et al. 2022 and DPM-Solver-2 (arXiv:2206.00927)",
    discard_penultimate: true,
    run: dpm_2,
};

fn dpm_2(
    denoiser: &mut dyn Denoiser,
    mut x: Tensor,
    sigmas: &[f64],
    _: &mut StepNoise,
    report: &mut Report<'_>,
) -> Result<Tensor> {
    for (step, sigma, next) in steps(sigmas) {
        let denoised = denoiser.denoise(&x, sigma)?;
        report(StepInfo { step, total: sigmas.len() - 1, sigma, x: &x, denoised: &denoised })?;
        let mut d = slope(&x, &denoised, sigma)?;
        if next > 0.0 {
            let middle = (sigma * next).sqrt();
            let half = combine(&[(1.0, &x), (middle - sigma, &d)])?;
            d = slope(&half, &denoiser.denoise(&half, middle)?, middle)?;
        }
        x = combine(&[(1.0, &x), (next - sigma, &d)])?;
    }
    Ok(x)
}

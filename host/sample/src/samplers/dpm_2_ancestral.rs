//! The midpoint method with part of each step replaced by fresh noise.

use super::{Report, Sampler, StepInfo, ancestral, combine, slope, steps};
use crate::{Denoiser, StepNoise};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPM_2_ANCESTRAL: Sampler = Sampler {
    name: "dpm_2_ancestral",
    source: "k-diffusion, sample_dpm_2_ancestral: DPM-Solver-2 (arXiv:2206.00927) with ancestral noise",
    discard_penultimate: true,
    run: dpm_2_ancestral,
};

fn dpm_2_ancestral(
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
        let d = slope(&x, &denoised, sigma)?;
        x = if down == 0.0 {
            combine(&[(1.0, &x), (down - sigma, &d)])?
        } else {
            let middle = (sigma * down).sqrt();
            let half = combine(&[(1.0, &x), (middle - sigma, &d)])?;
            let d = slope(&half, &denoiser.denoise(&half, middle)?, middle)?;
            combine(&[(1.0, &x), (down - sigma, &d), (up, &noise.draw(&x)?)])?
        };
    }
    Ok(x)
}

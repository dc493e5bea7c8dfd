//! DPM-Solver++ of second order with a midpoint, and ancestral noise.

use super::{Report, Sampler, StepInfo, ancestral, combine, steps};
use crate::{Denoiser, StepNoise};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPMPP_2S_ANCESTRAL: Sampler = Sampler {
    name: "dpmpp_2s_ancestral",
    source: "DPM-Solver++ (arXiv:2211.01095), Algorithm 1, with ancestral noise (k-diffusion)",
    discard_penultimate: false,
    run: dpmpp_2s_ancestral,
};

fn dpmpp_2s_ancestral(
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
            // In λ = −ln σ an exact step to σ' is (σ'/σ)·x + (1 − σ'/σ)·denoised.
            let middle = (sigma * down).sqrt();
            let half = combine(&[(middle / sigma, &x), (1.0 - middle / sigma, &denoised)])?;
            let denoised = denoiser.denoise(&half, middle)?;
            combine(&[(down / sigma, &x), (1.0 - down / sigma, &denoised), (up, &noise.draw(&x)?)])?
        };
    }
    Ok(x)
}

//! The midpoint method in the logarithm of sigma, two calls of the model a step.

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPM_2: Sampler = Sampler {
    name: "dpm_2",
    source: "k-diffusion, sample_dpm_2: after Karras et al. 2022 and DPM-Solver-2 (arXiv:2206.00927)",
    discard_penultimate: true,
    mask_noise_anew: false,
    run: dpm_2,
};

fn dpm_2(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let mut d = slope(&x, &denoised, sigma)?;
        if next > 0.0 {
            let middle = (sigma * next).sqrt();
            let half = combine(&[(1.0, &x), (middle - sigma, &d)])?;
            d = slope(&half, &walk.denoise(&half, middle)?, middle)?;
        }
        x = combine(&[(1.0, &x), (next - sigma, &d)])?;
    }
    Ok(x)
}

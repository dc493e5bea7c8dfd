//! Euler's method: one call of the model a step.

use super::{Sampler, Walk, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const EULER: Sampler = Sampler {
    name: "euler",
    source: "Karras et al. 2022 (arXiv:2206.00364), Algorithm 2 without churn",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: euler,
};

pub(super) fn euler(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        x = (&x + (slope(&x, &denoised, sigma)? * (next - sigma))?)?;
    }
    Ok(x)
}

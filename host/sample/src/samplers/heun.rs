//! Heun's method: the mean of the slopes at both ends of a step, two calls of the model.

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const HEUN: Sampler = Sampler {
    name: "heun",
    source: "Karras et al. 2022 (arXiv:2206.00364), Algorithm 2 without churn, second order",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: heun,
};

fn heun(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let dt = next - sigma;
        let d = slope(&x, &denoised, sigma)?;
        let end = combine(&[(1.0, &x), (dt, &d)])?;
        // At sigma 0 there is no slope to average with.
        x = if next == 0.0 {
            end
        } else {
            let d_end = slope(&end, &walk.denoise(&end, next)?, next)?;
            combine(&[(1.0, &x), (dt / 2.0, &d), (dt / 2.0, &d_end)])?
        };
    }
    Ok(x)
}

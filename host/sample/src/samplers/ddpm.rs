//! The reverse process that diffusion models were first sampled with.

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DDPM: Sampler = Sampler {
    name: "ddpm",
    source: "Ho et al. 2020 (arXiv:2006.11239), Algorithm 2, between any two noise levels",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: ddpm,
};

fn ddpm(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let epsilon = slope(&x, &denoised, sigma)?;
        // ᾱ of both ends, and α of the step between them.
        let (bar, bar_next) = (1.0 / (sigma * sigma + 1.0), 1.0 / (next * next + 1.0));
        let alpha = bar / bar_next;
        // The formula is for latents of variance 1; back on the sigma scale they are multiplied by √(1 + σ²).
        let scale = (1.0 + next * next).sqrt() / alpha.sqrt();
        let mean = combine(&[
            (scale / (1.0 + sigma * sigma).sqrt(), &x),
            (-scale * (1.0 - alpha) / (1.0 - bar).sqrt(), &epsilon),
        ])?;
        x = if next > 0.0 {
            let std = ((1.0 - alpha) * (1.0 - bar_next) / (1.0 - bar)).sqrt();
            combine(&[(1.0, &mean), (std * (1.0 + next * next).sqrt(), &walk.fresh(&x)?)])?
        } else {
            mean
        };
    }
    Ok(x)
}

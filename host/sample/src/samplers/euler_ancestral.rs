//! Euler's method with part of each step replaced by fresh noise.

use super::{Sampler, Walk, ancestral, ancestral_flow, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const EULER_ANCESTRAL: Sampler = Sampler {
    name: "euler_ancestral",
    source: "k-diffusion, sample_euler_ancestral; the split of a step is from Song et al. 2020 (arXiv:2010.02502)",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: euler_ancestral,
};

fn euler_ancestral(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        if walk.mix.is_flow() && next > 0.0 {
            let (down, scale, up) = ancestral_flow(sigma, next);
            let ratio = down / sigma;
            x = combine(&[(scale * ratio, &x), (scale * (1.0 - ratio), &denoised), (up, &walk.fresh(&x)?)])?;
            continue;
        }
        let (down, up) = ancestral(sigma, next);
        x = if down == 0.0 {
            denoised
        } else {
            let d = slope(&x, &denoised, sigma)?;
            combine(&[(1.0, &x), (down - sigma, &d), (up, &walk.fresh(&x)?)])?
        };
    }
    Ok(x)
}

//! For latent consistency models: take the guess, put noise of the next level on it.

use super::{Sampler, Walk, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const LCM: Sampler = Sampler {
    name: "lcm",
    source: "Luo et al. 2023 (arXiv:2310.04378), Algorithm 3",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: lcm,
};

fn lcm(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    for (step, _, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        x = if next > 0.0 {
            combine(&[(walk.mix.alpha(next), &denoised), (next, &walk.fresh(&x)?)])?
        } else {
            denoised
        };
    }
    Ok(x)
}

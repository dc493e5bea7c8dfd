//! The midpoint method with part of each step replaced by fresh noise.

use super::{Sampler, Walk, ancestral, ancestral_flow, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPM_2_ANCESTRAL: Sampler = Sampler {
    name: "dpm_2_ancestral",
    source: "k-diffusion, sample_dpm_2_ancestral: DPM-Solver-2 (arXiv:2206.00927) with ancestral noise",
    discard_penultimate: true,
    mask_noise_anew: false,
    run: dpm_2_ancestral,
};

fn dpm_2_ancestral(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let (down, scale, up) = if walk.mix.is_flow() {
            ancestral_flow(sigma, next)
        } else {
            let (down, up) = ancestral(sigma, next);
            (down, 1.0, up)
        };
        let d = slope(&x, &denoised, sigma)?;
        x = if down == 0.0 {
            combine(&[(1.0, &x), (down - sigma, &d)])?
        } else {
            let middle = (sigma * down).sqrt();
            let half = combine(&[(1.0, &x), (middle - sigma, &d)])?;
            let d = slope(&half, &walk.denoise(&half, middle)?, middle)?;
            combine(&[(scale, &x), (scale * (down - sigma), &d), (up, &walk.fresh(&x)?)])?
        };
    }
    Ok(x)
}

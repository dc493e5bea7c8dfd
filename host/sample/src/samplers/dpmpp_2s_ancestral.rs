//! DPM-Solver++ of second order with a midpoint, and ancestral noise.

use super::{Sampler, Walk, ancestral, ancestral_flow, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPMPP_2S_ANCESTRAL: Sampler = Sampler {
    name: "dpmpp_2s_ancestral",
    source: "DPM-Solver++ (arXiv:2211.01095), Algorithm 1, with ancestral noise (k-diffusion; ComfyUI for flow models)",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: dpmpp_2s_ancestral,
};

/// The sigma at which a flow's first step, from pure noise, is evaluated a second time: at 1 there is no λ to halve.
const NEXT_TO_NOISE: f64 = 0.9999;

fn dpmpp_2s_ancestral(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    let mix = walk.mix;
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let (down, scale, up) = if mix.is_flow() {
            ancestral_flow(sigma, next)
        } else {
            let (down, up) = ancestral(sigma, next);
            (down, 1.0, up)
        };
        x = if down == 0.0 {
            denoised
        } else {
            // The guess held fixed, a step to σ' is (σ'/σ)·x + (1 − σ'/σ)·denoised.
            let middle = if mix.is_flow() && sigma >= 1.0 {
                NEXT_TO_NOISE
            } else {
                mix.sigma((mix.lambda(sigma) + mix.lambda(down)) / 2.0)
            };
            let half = combine(&[(middle / sigma, &x), (1.0 - middle / sigma, &denoised)])?;
            let denoised = walk.denoise(&half, middle)?;
            let ratio = down / sigma;
            combine(&[(scale * ratio, &x), (scale * (1.0 - ratio), &denoised), (up, &walk.fresh(&x)?)])?
        };
    }
    Ok(x)
}

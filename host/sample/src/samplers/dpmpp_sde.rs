//! DPM-Solver++ as a stochastic differential equation, with a midpoint: two calls of the model a step.

use super::{Sampler, Walk, ancestral, combine};
use crate::noise::Engine;
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPMPP_SDE: Sampler = Sampler {
    name: "dpmpp_sde",
    source: "k-diffusion, sample_dpmpp_sde: DPM-Solver++ (arXiv:2211.01095) on the SDE; ComfyUI for flow models",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_sde(walk, x, Engine::TorchCpu),
};

pub(super) const DPMPP_SDE_GPU: Sampler = Sampler {
    name: "dpmpp_sde_gpu",
    source: "dpmpp_sde with the noise that a CUDA generator draws",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_sde(walk, x, Engine::Philox),
};

fn dpmpp_sde(walk: &mut Walk<'_>, mut x: Tensor, engine: Engine) -> Result<Tensor> {
    let tree = walk.noise.tree(&x, &walk.sigmas, engine)?;
    walk.stay_below_one();
    let mix = walk.mix;
    for s in walk.steps_in_lambda() {
        let denoised = walk.guess(s.index, &x)?;
        if s.next == 0.0 {
            x = denoised;
            continue;
        }
        let middle = mix.sigma(mix.lambda(s.sigma) + s.h / 2.0);
        let (ratio, ratio_middle) = (s.sigma / s.alpha, middle / mix.alpha(middle));
        let (down, up) = ancestral(ratio, ratio_middle);
        let half = step(&x, &denoised, s.alpha, mix.alpha(middle), down / ratio)?;
        let noise = tree.between(walk.noise, s.sigma, middle)?;
        let half = combine(&[(1.0, &half), (mix.alpha(middle) * up, &noise)])?;
        let denoised = walk.denoise(&half, middle)?;
        let (down, up) = ancestral(ratio, s.next / s.alpha_next);
        x = step(&x, &denoised, s.alpha, s.alpha_next, down / ratio)?;
        let noise = tree.between(walk.noise, s.sigma, s.next)?;
        x = combine(&[(1.0, &x), (s.alpha_next * up, &noise)])?;
    }
    Ok(x)
}

/// The guess held fixed, along a step on which σ/α shrinks to `left` of what it was.
fn step(x: &Tensor, denoised: &Tensor, alpha: f64, alpha_next: f64, left: f64) -> Result<Tensor> {
    combine(&[(alpha_next / alpha * left, x), (alpha_next * (1.0 - left), denoised)])
}

//! Euler's method with the noise of the guess without a prompt, plain and with fresh noise.

use super::{Sampler, Walk, ancestral, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const EULER_CFG_PP: Sampler = Sampler {
    name: "euler_cfg_pp",
    source: "Chung et al. 2024, CFG++ (arXiv:2406.08070), Algorithm 2; ComfyUI, sample_euler_cfg_pp",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| euler_cfg_pp(walk, x, false),
};

pub(super) const EULER_ANCESTRAL_CFG_PP: Sampler = Sampler {
    name: "euler_ancestral_cfg_pp",
    source: "CFG++ (arXiv:2406.08070) with ancestral noise; ComfyUI, sample_euler_ancestral_cfg_pp",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| euler_cfg_pp(walk, x, true),
};

fn euler_cfg_pp(walk: &mut Walk<'_>, mut x: Tensor, fresh: bool) -> Result<Tensor> {
    let mix = walk.mix;
    for (step, sigma, next) in walk.steps() {
        let (denoised, without) = walk.guess_both(step, &x)?;
        if next == 0.0 {
            x = denoised;
            continue;
        }
        // The noise in x as the guess without a prompt sees it, put on the guess with one.
        let (alpha, alpha_next) = (mix.alpha(sigma), mix.alpha(next));
        let noise = combine(&[(1.0 / sigma, &x), (-alpha / sigma, &without)])?;
        // At sigma 1 of a flow α is 0 and the ratio infinite; all of the noise may be fresh then.
        let (down, up) = if !fresh {
            (next / alpha_next, 0.0)
        } else if alpha == 0.0 {
            (0.0, next / alpha_next)
        } else {
            ancestral(sigma / alpha, next / alpha_next)
        };
        x = combine(&[(alpha_next, &denoised), (alpha_next * down, &noise)])?;
        if fresh {
            x = combine(&[(1.0, &x), (alpha_next * up, &walk.fresh(&x)?)])?;
        }
    }
    Ok(x)
}

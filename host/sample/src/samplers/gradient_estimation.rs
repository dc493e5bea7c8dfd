//! Euler's method with the change of the slope carried on.

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const GRADIENT_ESTIMATION: Sampler = Sampler {
    name: "gradient_estimation",
    source: "Permenter and Yuan 2023 (arXiv:2306.04848), gamma 2",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| gradient_estimation(walk, x, false),
};

pub(super) const GRADIENT_ESTIMATION_CFG_PP: Sampler = Sampler {
    name: "gradient_estimation_cfg_pp",
    source: "gradient_estimation with CFG++ (arXiv:2406.08070); ComfyUI, sample_gradient_estimation_cfg_pp",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| gradient_estimation(walk, x, true),
};

const GAMMA: f64 = 2.0;

fn gradient_estimation(walk: &mut Walk<'_>, mut x: Tensor, cfg_pp: bool) -> Result<Tensor> {
    let mut last: Option<Tensor> = None;
    for (step, sigma, next) in walk.steps() {
        let (denoised, without) = if cfg_pp {
            walk.guess_both(step, &x)?
        } else {
            let guess = walk.guess(step, &x)?;
            (guess.clone(), guess)
        };
        if next == 0.0 {
            return Ok(denoised);
        }
        let d = slope(&x, &without, sigma)?;
        x = if cfg_pp { combine(&[(1.0, &denoised), (next, &d)])? } else { combine(&[(1.0, &x), (next - sigma, &d)])? };
        if let Some(last) = &last {
            let factor = (GAMMA - 1.0) * (next - sigma);
            x = combine(&[(1.0, &x), (factor, &d), (-factor, last)])?;
        }
        last = Some(d);
    }
    Ok(x)
}

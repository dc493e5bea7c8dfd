//! The refined exponential solver of second order that remembers the last guess, one call of the model a step.

use super::{Sampler, Walk, ancestral, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const RES_MULTISTEP: Sampler = Sampler {
    name: "res_multistep",
    source: "Zhang et al. 2023 (arXiv:2308.02157), multistep; ComfyUI, res_multistep",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| res_multistep(walk, x, false, false),
};

pub(super) const RES_MULTISTEP_CFG_PP: Sampler = Sampler {
    name: "res_multistep_cfg_pp",
    source: "res_multistep with CFG++ (arXiv:2406.08070); ComfyUI, sample_res_multistep_cfg_pp",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| res_multistep(walk, x, false, true),
};

pub(super) const RES_MULTISTEP_ANCESTRAL: Sampler = Sampler {
    name: "res_multistep_ancestral",
    source: "res_multistep with ancestral noise; ComfyUI, sample_res_multistep_ancestral",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| res_multistep(walk, x, true, false),
};

pub(super) const RES_MULTISTEP_ANCESTRAL_CFG_PP: Sampler = Sampler {
    name: "res_multistep_ancestral_cfg_pp",
    source: "res_multistep with ancestral noise and CFG++; ComfyUI, sample_res_multistep_ancestral_cfg_pp",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| res_multistep(walk, x, true, true),
};

fn res_multistep(walk: &mut Walk<'_>, mut x: Tensor, fresh: bool, cfg_pp: bool) -> Result<Tensor> {
    // The last guess, and the sigma that the last step went down to before noise was added.
    let mut last: Option<(Tensor, f64)> = None;
    for (step, sigma, next) in walk.steps() {
        let (denoised, without) = if cfg_pp {
            walk.guess_both(step, &x)?
        } else {
            let guess = walk.guess(step, &x)?;
            (guess.clone(), guess)
        };
        let (down, up) = if fresh { ancestral(sigma, next) } else { (next, 0.0) };
        x = match &last {
            Some((last, last_down)) if down > 0.0 => {
                let h = (sigma / down).ln();
                let c2 = (last_down / walk.sigmas[step - 1]).ln() / h;
                let phi_1 = (-h).exp_m1() / -h;
                let phi_2 = (phi_1 - 1.0) / -h;
                let (b1, b2) = (phi_1 - phi_2 / c2, phi_2 / c2);
                let (b1, b2) = (if b1.is_finite() { b1 } else { 0.0 }, if b2.is_finite() { b2 } else { 0.0 });
                if cfg_pp {
                    x = combine(&[(1.0, &x), (1.0, &denoised), (-1.0, &without)])?;
                }
                combine(&[(down / sigma, &x), (h * b1, &without), (h * b2, last)])?
            }
            _ if cfg_pp => combine(&[(1.0, &denoised), (down, &slope(&x, &without, sigma)?)])?,
            _ => combine(&[(1.0, &x), (down - sigma, &slope(&x, &denoised, sigma)?)])?,
        };
        if fresh && next > 0.0 {
            x = combine(&[(1.0, &x), (up, &walk.fresh(&x)?)])?;
        }
        last = Some((without, down));
    }
    Ok(x)
}

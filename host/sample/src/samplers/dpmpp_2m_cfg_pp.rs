//! DPM-Solver++ of second order with the noise of the guess without a prompt.

use super::{Sampler, Walk, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPMPP_2M_CFG_PP: Sampler = Sampler {
    name: "dpmpp_2m_cfg_pp",
    source: "DPM-Solver++ (arXiv:2211.01095) with CFG++ (arXiv:2406.08070); ComfyUI, sample_dpmpp_2m_cfg_pp",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: dpmpp_2m_cfg_pp,
};

fn dpmpp_2m_cfg_pp(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    let mut last: Option<Tensor> = None;
    for (step, sigma, next) in walk.steps() {
        let (denoised, without) = walk.guess_both(step, &x)?;
        // e^−h of the step's length in λ = −ln σ.
        let left = next / sigma;
        let moved = combine(&[(1.0, &denoised), (-left, &without), (left, &x)])?;
        x = match &last {
            Some(last) if next > 0.0 => {
                let r = (walk.sigmas[step - 1] / sigma).ln() / (sigma / next).ln();
                let factor = (1.0 - left) * 0.5 / r;
                combine(&[(1.0, &moved), (factor, &denoised), (-factor, last)])?
            }
            _ => moved,
        };
        last = Some(without);
    }
    Ok(x)
}

//! DPM-Solver++ of second order that remembers the last guess: one call of the model a step.

use super::{Sampler, Walk, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPMPP_2M: Sampler = Sampler {
    name: "dpmpp_2m",
    source: "DPM-Solver++ (arXiv:2211.01095), Algorithm 2",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: dpmpp_2m,
};

fn dpmpp_2m(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    let mut last: Option<Tensor> = None;
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let ratio = next / sigma;
        let guess = match &last {
            // The last step, to sigma 0, is of infinite length in λ: first order.
            Some(last) if next > 0.0 => {
                // Lengths in λ = −ln σ of the last step over this one.
                let r = (walk.sigmas[step - 1] / sigma).ln() / (sigma / next).ln();
                combine(&[(1.0 + 0.5 / r, &denoised), (-0.5 / r, last)])?
            }
            _ => denoised.clone(),
        };
        x = combine(&[(ratio, &x), (1.0 - ratio, &guess)])?;
        last = Some(denoised);
    }
    Ok(x)
}

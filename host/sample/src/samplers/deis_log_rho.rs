//! The exponential integrator with a line through the last two slopes, in the logarithm of sigma.

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(crate) const DEIS_LOG_RHO: Sampler = Sampler {
    name: "deis_log_rho",
    source: "Zhang and Chen 2022 (arXiv:2204.13902), log ρ-AB2; diffusers, DEISMultistepScheduler of order 2",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: deis_log_rho,
};

/// Walks shorter than this make their last step one of first order.
const SHORT: usize = 15;

fn deis_log_rho(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    let steps = walk.sigmas.len() - 1;
    let mut last: Option<Tensor> = None;
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let d = slope(&x, &denoised, sigma)?;
        let short_end = next == 0.0 || (step + 1 == steps && steps < SHORT);
        x = match &last {
            Some(last) if !short_end => {
                let before = walk.sigmas[step - 1];
                // ∫ (ln σ − ln c) / (ln b − ln c) dσ over the step: the weight of the slope at b.
                let integral = |b: f64, c: f64| {
                    let at = |s: f64| s * ((s / c).ln() - 1.0) / (b / c).ln();
                    at(next) - at(sigma)
                };
                combine(&[(1.0, &x), (integral(sigma, before), &d), (integral(before, sigma), last)])?
            }
            _ => combine(&[(1.0, &x), (next - sigma, &d)])?,
        };
        last = Some(d);
    }
    Ok(x)
}

//! The extended reverse-time stochastic differential equation, of third order: one call of the model a step.

use super::{Sampler, Walk, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const ER_SDE: Sampler = Sampler {
    name: "er_sde",
    source: "Cui et al. 2023 (arXiv:2309.06169), VP ER-SDE-Solver-3; ComfyUI, sample_er_sde",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: er_sde,
};

/// Points of the sums that stand for integrals, as in the source.
const POINTS: usize = 200;

/// How much noise there is at a ratio σ/α, the source's recommended function.
fn noise_scale(ratio: f64) -> f64 {
    ratio * (ratio.powf(0.3).exp() + 10.0)
}

fn er_sde(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    walk.stay_below_one();
    let mix = walk.mix;
    let ratios: Vec<f64> = walk.sigmas.iter().map(|&s| s / mix.alpha(s)).collect();
    // The guess of the last step, and its divided difference to the one before.
    let mut last: Option<(Tensor, Option<Tensor>)> = None;
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        if next == 0.0 {
            return Ok(denoised);
        }
        let (from, to) = (ratios[step], ratios[step + 1]);
        let (alpha, alpha_next) = (mix.alpha(sigma), mix.alpha(next));
        let r = noise_scale(to) / noise_scale(from);
        x = combine(&[(alpha_next / alpha * r, &x), (alpha_next * (1.0 - r), &denoised)])?;
        let mut difference = None;
        if let Some((before, difference_before)) = &last {
            let dt = to - from;
            let width = -dt / POINTS as f64;
            let positions = (0..POINTS).map(|i| to + i as f64 * width);
            let sum: f64 = positions.clone().map(|p| 1.0 / noise_scale(p)).sum::<f64>() * width;
            let first = ((&denoised - before)? / (from - ratios[step - 1]))?;
            x = combine(&[(1.0, &x), (alpha_next * (dt + sum * noise_scale(to)), &first)])?;
            if let Some(difference_before) = difference_before {
                let sum: f64 = positions.map(|p| (p - from) / noise_scale(p)).sum::<f64>() * width;
                let second = ((&first - difference_before)? / ((from - ratios[step - 2]) / 2.0))?;
                x = combine(&[(1.0, &x), (alpha_next * (dt * dt / 2.0 + sum * noise_scale(to)), &second)])?;
            }
            difference = Some(first);
        }
        let up = (to * to - from * from * r * r).max(0.0).sqrt();
        x = combine(&[(1.0, &x), (alpha_next * up, &walk.fresh(&x)?)])?;
        last = Some((denoised, difference));
    }
    Ok(x)
}

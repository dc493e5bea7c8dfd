//! Stochastic exponential solvers with two and three calls of the model a step.

use super::{Sampler, Walk, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const SEEDS_2: Sampler = Sampler {
    name: "seeds_2",
    source: "Gonzalez et al. 2023 (arXiv:2305.14267), SEEDS-2; ComfyUI, sample_seeds_2",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| seeds(walk, x, &[0.5], |phi_1, _, _, at| phi_1 / (2.0 * at)),
};

pub(super) const SEEDS_3: Sampler = Sampler {
    name: "seeds_3",
    source: "Gonzalez et al. 2023 (arXiv:2305.14267), SEEDS-3; ComfyUI, sample_seeds_3",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| seeds(walk, x, &[1.0 / 3.0, 2.0 / 3.0], |phi_1, h2, r, at| -r / at * (phi_1 + h2) / h2),
};

/// (e^−2rh − 1, 2rh, r, share at which the second guess was made) → the weight of that guess, up to the sign of α.
type Weight = fn(f64, f64, f64, f64) -> f64;

/// `middles`: where within a step, as shares of its length in λ, the model is asked again.
fn seeds(walk: &mut Walk<'_>, mut x: Tensor, middles: &[f64], weight: Weight) -> Result<Tensor> {
    walk.stay_below_one();
    let mix = walk.mix;
    for s in walk.steps_in_lambda() {
        let denoised = walk.guess(s.index, &x)?;
        if s.next == 0.0 {
            return Ok(denoised);
        }
        let (mut noise, mut at) = (x.zeros_like()?, 0.0);
        // The guess within the step that the last middle gave, and where.
        let mut again: Option<(Tensor, f64)> = None;
        for &r in middles.iter().chain([&1.0]) {
            let sigma = if r == 1.0 { s.next } else { mix.sigma(mix.lambda(s.sigma) + r * s.h) };
            // The noise so far fades, and fresh noise of this part of the step comes in.
            let part = (r - at) * s.h;
            noise = combine(&[((-part).exp(), &noise), ((-(-2.0 * part).exp_m1()).sqrt(), &walk.fresh(&x)?)])?;
            let h2 = 2.0 * r * s.h;
            let phi_1 = (-h2).exp_m1();
            // The share of the whole way in e^−2rh that the second guess stands for.
            let second = again.as_ref().map_or(0.0, |(_, at)| weight(phi_1, h2, r, *at));
            let alpha = mix.alpha(sigma);
            let mut terms =
                vec![(sigma / s.sigma * (-r * s.h).exp(), &x), (-alpha * (phi_1 - second), &denoised), (sigma, &noise)];
            if let Some((again, _)) = &again {
                terms.push((-alpha * second, again));
            }
            let there = combine(&terms)?;
            if r == 1.0 {
                x = there;
                break;
            }
            again = Some((walk.denoise(&there, sigma)?, r));
            at = r;
        }
    }
    Ok(x)
}

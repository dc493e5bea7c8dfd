//! A linear multistep method over up to four slopes, one call of the model a step.

use std::collections::VecDeque;

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const LMS: Sampler = Sampler {
    name: "lms",
    source: "k-diffusion, sample_lms: Adams-Bashforth over uneven steps, order 4",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| lms(walk, x, true),
};

pub(crate) const LMS_TO_THE_END: Sampler = Sampler {
    name: "lms_to_the_end",
    source: "lms with its last step, to sigma 0, like the others; diffusers, LMSDiscreteScheduler",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| lms(walk, x, false),
};

const ORDER: usize = 4;

fn lms(walk: &mut Walk<'_>, mut x: Tensor, end_in_guess: bool) -> Result<Tensor> {
    // Newest first.
    let mut slopes = VecDeque::with_capacity(ORDER + 1);
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        slopes.push_front(slope(&x, &denoised, sigma)?);
        slopes.truncate(ORDER);
        x = if next == 0.0 && end_in_guess {
            denoised
        } else {
            let weights = (0..slopes.len()).map(|j| weight(&walk.sigmas, step, j, slopes.len()));
            let mut terms = vec![(1.0, &x)];
            terms.extend(weights.zip(&slopes));
            combine(&terms)?
        };
    }
    Ok(x)
}

/// The integral over step `i` of the Lagrange polynomial that is 1 at the sigma `j` steps ago.
/// It is of degree 3 at most, which Simpson's rule integrates exactly.
fn weight(sigmas: &[f64], i: usize, j: usize, order: usize) -> f64 {
    let polynomial = |sigma: f64| {
        (0..order)
            .filter(|&k| k != j)
            .map(|k| (sigma - sigmas[i - k]) / (sigmas[i - j] - sigmas[i - k]))
            .product::<f64>()
    };
    let (a, b) = (sigmas[i], sigmas[i + 1]);
    (b - a) / 6.0 * (polynomial(a) + 4.0 * polynomial((a + b) / 2.0) + polynomial(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A constant slope must be followed exactly, whatever the order.
    #[test]
    fn weights_sum_to_the_step() {
        let sigmas = [9.0, 6.0, 4.0, 2.5, 1.0, 0.2];
        for i in 0..5 {
            let order = (i + 1).min(ORDER);
            let sum: f64 = (0..order).map(|j| weight(&sigmas, i, j, order)).sum();
            assert!((sum - (sigmas[i + 1] - sigmas[i])).abs() < 1e-12);
        }
    }
}

//! Pseudo linear multistep with weights for uneven steps.

use std::collections::VecDeque;

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const IPNDM_V: Sampler = Sampler {
    name: "ipndm_v",
    source: "zju-pi, diff-sampler: ipndm_v, iPNDM (arXiv:2204.13902) for uneven steps",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: ipndm_v,
};

const ORDER: usize = 4;

fn ipndm_v(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    // Newest first.
    let mut slopes = VecDeque::with_capacity(ORDER + 1);
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        slopes.push_front(slope(&x, &denoised, sigma)?);
        slopes.truncate(ORDER);
        x = if next == 0.0 {
            denoised
        } else {
            let weights = weights(&walk.sigmas, step, slopes.len());
            let mut terms = vec![(1.0, &x)];
            terms.extend(weights.into_iter().map(|w| w * (next - sigma)).zip(&slopes));
            combine(&terms)?
        };
    }
    Ok(x)
}

/// Weights of the newest slope and those before it, as the source derives them from the lengths of the last steps.
fn weights(sigmas: &[f64], step: usize, order: usize) -> Vec<f64> {
    // Length of the step that is to be made, and of the ones before it.
    let length = |back: usize| sigmas[step + 1 - back] - sigmas[step - back];
    if order == 1 {
        return vec![1.0];
    }
    let (h, h1) = (length(0), length(1));
    let mut w = vec![1.0 + h / h1 / 2.0, -h / h1 / 2.0];
    if order == 2 {
        return w;
    }
    let h2 = length(2);
    let third = (1.0 - h / (3.0 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2.0;
    w[0] += third;
    w[1] -= (1.0 + h1 / h2) * third;
    w.push(third * h1 / h2);
    if order == 3 {
        return w;
    }
    let h3 = length(3);
    let fourth = ((1.0 - h / (3.0 * (h + h1))) / 2.0 + (1.0 - h / (2.0 * (h + h1))) * h / (6.0 * (h + h1 + h2)))
        * (h * (h + h1) * (h + h1 + h2))
        / (h1 * (h1 + h2) * (h1 + h2 + h3));
    let far = h1 * (h1 + h2) / (h2 * (h2 + h3));
    w[0] += fourth;
    w[1] -= (1.0 + h1 / h2 + far) * fourth;
    w[2] += (h1 / h2 + far * (1.0 + h2 / h3)) * fourth;
    w.push(-fourth * far * h1 / h2);
    w
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A constant slope must be followed exactly, whatever the order.
    #[test]
    fn weights_sum_to_one_while_steps_are_even() {
        let sigmas = [9.0, 8.0, 7.0, 6.0, 5.0];
        for order in 1..=ORDER {
            let sum: f64 = weights(&sigmas, 3, order).iter().sum();
            assert!((sum - 1.0).abs() < 1e-12, "order {order}: {sum}");
        }
    }
}

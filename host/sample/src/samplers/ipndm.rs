//! Improved pseudo linear multistep: Adams-Bashforth with even weights over up to four slopes.

use std::collections::VecDeque;

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const IPNDM: Sampler = Sampler {
    name: "ipndm",
    source: "Zhang and Chen 2022 (arXiv:2204.13902), iPNDM; weights of Liu et al. 2022 (arXiv:2202.09778)",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: ipndm,
};

/// Weights of the newest slope and the ones before it, by how many there are.
pub(super) const WEIGHTS: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

fn ipndm(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    // Newest first.
    let mut slopes = VecDeque::with_capacity(WEIGHTS.len() + 1);
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        slopes.push_front(slope(&x, &denoised, sigma)?);
        slopes.truncate(WEIGHTS.len());
        x = if next == 0.0 {
            denoised
        } else {
            let weights = WEIGHTS[slopes.len() - 1].iter().map(|w| w * (next - sigma));
            let mut terms = vec![(1.0, &x)];
            terms.extend(weights.zip(&slopes));
            combine(&terms)?
        };
    }
    Ok(x)
}

//! Pseudo linear multistep: the first step is taken twice, then Adams-Bashforth with even weights.

use std::collections::VecDeque;

use super::{Sampler, Walk, combine, ipndm::WEIGHTS, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const PLMS: Sampler = Sampler {
    name: "plms",
    source: "Liu et al. 2022 (arXiv:2202.09778), PNDM without its Runge-Kutta start, as CompVis' PLMSSampler does it",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: plms,
};

fn plms(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    // Newest first.
    let mut slopes = VecDeque::with_capacity(WEIGHTS.len() + 1);
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        slopes.push_front(slope(&x, &denoised, sigma)?);
        slopes.truncate(WEIGHTS.len());
        let dt = next - sigma;
        let mut terms = vec![(1.0, &x)];
        if step == 0 && next > 0.0 {
            // The mean of the slopes at both ends, as there are no earlier ones.
            let end = combine(&[(1.0, &x), (dt, &slopes[0])])?;
            let there = slope(&end, &walk.denoise(&end, next)?, next)?;
            x = combine(&[(1.0, &x), (dt / 2.0, &slopes[0]), (dt / 2.0, &there)])?;
            continue;
        }
        terms.extend(WEIGHTS[slopes.len() - 1].iter().map(|w| w * dt).zip(&slopes));
        x = combine(&terms)?;
    }
    Ok(x)
}

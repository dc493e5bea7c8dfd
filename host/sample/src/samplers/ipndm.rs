//! Improved pseudo linear multistep: Adams-Bashforth with even weights over up to four slopes.

use std::collections::VecDeque;

use super::{Report, Sampler, StepInfo, combine, slope, steps};
use crate::{Denoiser, StepNoise};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const IPNDM: Sampler = Sampler {
    name: "ipndm",
    source: "Zhang and Chen 2022 (arXiv:2204.13902), iPNDM; weights of Liu et al. 2022 (arXiv:2202.09778)",
    discard_penultimate: false,
    run: ipndm,
};

/// Weights of the newest slope and the ones before it, by how many there are.
const WEIGHTS: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

fn ipndm(
    denoiser: &mut dyn Denoiser,
    mut x: Tensor,
    sigmas: &[f64],
    _: &mut StepNoise,
    report: &mut Report<'_>,
) -> Result<Tensor> {
    // Newest first.
    let mut slopes = VecDeque::with_capacity(WEIGHTS.len() + 1);
    for (step, sigma, next) in steps(sigmas) {
        let denoised = denoiser.denoise(&x, sigma)?;
        report(StepInfo { step, total: sigmas.len() - 1, sigma, x: &x, denoised: &denoised })?;
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

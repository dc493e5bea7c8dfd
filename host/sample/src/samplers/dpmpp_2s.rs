//! DPM-Solver++ of second order in pairs of steps, without fresh noise: the first of a pair is a try for the second.

use super::{Sampler, Walk, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(crate) const DPMPP_2S: Sampler = Sampler {
    name: "dpmpp_2s",
    source: "DPM-Solver++ (arXiv:2211.01095), Algorithm 1 with every other sigma as midpoint; diffusers, \
             DPMSolverSinglestepScheduler of order 2",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: dpmpp_2s,
};

fn dpmpp_2s(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    let steps = walk.sigmas.len() - 1;
    // Where the pair began, with the guess there.
    let mut first: Option<(Tensor, Tensor)> = None;
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let second = step % 2 == 1 && step + 1 < steps;
        x = match first.take() {
            Some((from, guess)) if second => {
                let sigma_from = walk.sigmas[step - 1];
                let (h, h_0) = ((sigma_from / next).ln(), (sigma_from / sigma).ln());
                let bend = 0.5 * h / h_0;
                let moved = 1.0 - next / sigma_from;
                let terms = [(next / sigma_from, &from), (moved * (1.0 - bend), &guess), (moved * bend, &denoised)];
                combine(&terms)?
            }
            _ => {
                let moved = combine(&[(next / sigma, &x), (1.0 - next / sigma, &denoised)])?;
                first = Some((x, denoised));
                moved
            }
        };
    }
    Ok(x)
}

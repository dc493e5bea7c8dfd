//! DPM-Solver++ of third order as a stochastic differential equation, one call of the model a step.

use super::{Sampler, Walk, combine};
use crate::noise::Engine;
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPMPP_3M_SDE: Sampler = Sampler {
    name: "dpmpp_3m_sde",
    source: "k-diffusion, sample_dpmpp_3m_sde",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_3m_sde(walk, x, Engine::TorchCpu),
};

pub(super) const DPMPP_3M_SDE_GPU: Sampler = Sampler {
    name: "dpmpp_3m_sde_gpu",
    source: "dpmpp_3m_sde with the noise that a CUDA generator draws",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_3m_sde(walk, x, Engine::Philox),
};

fn dpmpp_3m_sde(walk: &mut Walk<'_>, mut x: Tensor, engine: Engine) -> Result<Tensor> {
    let tree = walk.noise.tree(&x, &walk.sigmas, engine)?;
    walk.stay_below_one();
    // Guesses of the last steps with the lengths of the steps, newest first.
    let mut past: Vec<(Tensor, f64)> = Vec::with_capacity(3);
    for s in walk.steps_in_lambda() {
        let denoised = walk.guess(s.index, &x)?;
        if s.next == 0.0 {
            x = denoised;
            continue;
        }
        let h2 = 2.0 * s.h;
        let phi_2 = (-h2).exp_m1() / h2 + 1.0;
        let phi_3 = phi_2 / h2 - 0.5;
        let mut moved = combine(&[(s.next / s.sigma * (-s.h).exp(), &x), (-s.alpha_next * (-h2).exp_m1(), &denoised)])?;
        // Divided differences of the guesses, in units of this step.
        match &past[..] {
            [(one, h_1), (two, h_2), ..] => {
                let (r0, r1) = (h_1 / s.h, h_2 / s.h);
                let near = ((&denoised - one)? / r0)?;
                let far = ((one - two)? / r1)?;
                let bend = (&near - &far)?;
                let first = combine(&[(1.0, &near), (r0 / (r0 + r1), &bend)])?;
                let terms = [(1.0, &moved), (s.alpha_next * phi_2, &first), (-s.alpha_next * phi_3 / (r0 + r1), &bend)];
                moved = combine(&terms)?;
            }
            [(one, h_1)] => {
                let factor = s.alpha_next * phi_2 * s.h / h_1;
                moved = combine(&[(1.0, &moved), (factor, &denoised), (-factor, one)])?;
            }
            [] => {}
        }
        let noise = tree.between(walk.noise, s.sigma, s.next)?;
        x = combine(&[(1.0, &moved), (s.next * (-(-h2).exp_m1()).sqrt(), &noise)])?;
        past.insert(0, (denoised, s.h));
        past.truncate(2);
    }
    Ok(x)
}

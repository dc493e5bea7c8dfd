//! DPM-Solver++ of second order as a stochastic differential equation, one call of the model a step.

use super::{Sampler, Walk, combine};
use crate::noise::Engine;
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DPMPP_2M_SDE: Sampler = Sampler {
    name: "dpmpp_2m_sde",
    source: "k-diffusion, sample_dpmpp_2m_sde, midpoint; SDE-DPM-Solver++(2M) of arXiv:2211.01095",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_2m_sde(walk, x, midpoint, Engine::TorchCpu),
};

pub(super) const DPMPP_2M_SDE_GPU: Sampler = Sampler {
    name: "dpmpp_2m_sde_gpu",
    source: "dpmpp_2m_sde with the noise that a CUDA generator draws",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_2m_sde(walk, x, midpoint, Engine::Philox),
};

pub(super) const DPMPP_2M_SDE_HEUN: Sampler = Sampler {
    name: "dpmpp_2m_sde_heun",
    source: "k-diffusion, sample_dpmpp_2m_sde, heun",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_2m_sde(walk, x, heun, Engine::TorchCpu),
};

pub(super) const DPMPP_2M_SDE_HEUN_GPU: Sampler = Sampler {
    name: "dpmpp_2m_sde_heun_gpu",
    source: "dpmpp_2m_sde_heun with the noise that a CUDA generator draws",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| dpmpp_2m_sde(walk, x, heun, Engine::Philox),
};

/// The factor of the second-order term, of twice the step's length in λ.
fn midpoint(h2: f64) -> f64 {
    -0.5 * (-h2).exp_m1()
}

fn heun(h2: f64) -> f64 {
    (-h2).exp_m1() / h2 + 1.0
}

fn dpmpp_2m_sde(walk: &mut Walk<'_>, mut x: Tensor, second: fn(f64) -> f64, engine: Engine) -> Result<Tensor> {
    let tree = walk.noise.tree(&x, &walk.sigmas, engine)?;
    walk.stay_below_one();
    let mut last: Option<(Tensor, f64)> = None;
    for s in walk.steps_in_lambda() {
        let denoised = walk.guess(s.index, &x)?;
        if s.next == 0.0 {
            x = denoised;
            continue;
        }
        let h2 = 2.0 * s.h;
        let mut moved = combine(&[(s.next / s.sigma * (-s.h).exp(), &x), (-s.alpha_next * (-h2).exp_m1(), &denoised)])?;
        if let Some((last, h_last)) = &last {
            let factor = s.alpha_next * second(h2) * s.h / h_last;
            moved = combine(&[(1.0, &moved), (factor, &denoised), (-factor, last)])?;
        }
        let noise = tree.between(walk.noise, s.sigma, s.next)?;
        x = combine(&[(1.0, &moved), (s.next * (-(-h2).exp_m1()).sqrt(), &noise)])?;
        last = Some((denoised, s.h));
    }
    Ok(x)
}

//! The exponential integrator with polynomials in time through the last slopes, one call of the model a step.

use std::collections::VecDeque;

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const DEIS: Sampler = Sampler {
    name: "deis",
    source: "Zhang and Chen 2022 (arXiv:2204.13902), tAB-DEIS of order 3; zju-pi, diff-sampler: get_deis_coeff_list",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: deis,
};

const ORDER: usize = 3;
/// Points of the sum that stands for an integral, as in the source: its error is part of what is compared.
const POINTS: usize = 10_000;

fn deis(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    let time = Time::new();
    let times: Vec<f64> = walk.sigmas.iter().map(|&sigma| time.of(sigma)).collect();
    // Newest first.
    let mut slopes = VecDeque::with_capacity(ORDER + 1);
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        slopes.push_front(slope(&x, &denoised, sigma)?);
        slopes.truncate(ORDER);
        let order = if next == 0.0 { 1 } else { slopes.len() };
        let weights = if order == 1 { vec![next - sigma] } else { time.weights(&times, step, order) };
        let mut terms = vec![(1.0, &x)];
        terms.extend(weights.into_iter().zip(&slopes));
        x = combine(&terms)?;
    }
    Ok(x)
}

/// The time of a variance-preserving process with linear β, in which the slopes are taken as polynomials.
/// Float32 where the source has it: the smallest noise levels are lost in its rounding of σ² + 1.
struct Time {
    beta_min: f64,
    beta_d: f64,
}

impl Time {
    fn new() -> Self {
        const EPSILON: f64 = 1e-3;
        let log = |sigma: f32| f64::from((sigma * sigma + 1.0).ln());
        let (low, high) = (log(0.002), log(80.0));
        let beta_d = 2.0 * (low / EPSILON - high) / (EPSILON - 1.0);
        Self { beta_min: high - 0.5 * beta_d, beta_d }
    }

    fn of(&self, sigma: f64) -> f64 {
        let log = f64::from(((sigma * sigma) as f32 + 1.0).ln());
        ((self.beta_min * self.beta_min + 2.0 * self.beta_d * log).sqrt() - self.beta_min) / self.beta_d
    }

    /// Weights of the newest slope and the ones before it over a step: integrals of dσ/dt times Lagrange polynomials.
    fn weights(&self, times: &[f64], step: usize, order: usize) -> Vec<f64> {
        let (from, to) = (times[step], times[step + 1]);
        let nodes: Vec<f64> = (0..order).map(|k| times[step - k]).collect();
        let mut sums = vec![0.0; order];
        for i in 0..POINTS {
            let t = from + (to - from) * i as f64 / (POINTS - 1) as f64;
            let alpha = (-0.5 * t * t * self.beta_d - t * self.beta_min).exp();
            let speed = 0.5 * (t * self.beta_d + self.beta_min) / (alpha * (1.0 - alpha)).sqrt();
            for (j, sum) in sums.iter_mut().enumerate() {
                let others = (0..order).filter(|&k| k != j);
                *sum += speed * others.map(|k| (t - nodes[k]) / (nodes[j] - nodes[k])).product::<f64>();
            }
        }
        sums.into_iter().map(|sum| sum * (to - from) / POINTS as f64).collect()
    }
}

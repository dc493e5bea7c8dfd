//! The unified predictor and corrector: each call of the model corrects the step that led to it.

use super::{Sampler, Walk, combine};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const UNI_PC: Sampler = Sampler {
    name: "uni_pc",
    source: "Zhao et al. 2023 (arXiv:2302.04867), UniPC-3 with B₁(h) = h; ComfyUI, sample_unipc",
    discard_penultimate: true,
    mask_noise_anew: false,
    run: |walk, x| uni_pc(walk, x, 3, |h| -h),
};

pub(super) const UNI_PC_BH2: Sampler = Sampler {
    name: "uni_pc_bh2",
    source: "Zhao et al. 2023 (arXiv:2302.04867), UniPC-3 with B₂(h) = e^h − 1; ComfyUI, sample_unipc",
    discard_penultimate: true,
    mask_noise_anew: false,
    run: |walk, x| uni_pc(walk, x, 3, |h| (-h).exp_m1()),
};

pub(crate) const UNI_PC_2: Sampler = Sampler {
    name: "uni_pc_2",
    source: "Zhao et al. 2023 (arXiv:2302.04867), UniPC-2 with B₂, to sigma 0; diffusers, UniPCMultistepScheduler",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: |walk, x| predict_and_correct(walk, x, 2, |h| (-h).exp_m1()),
};

/// ComfyUI ends its walk at 0.001 instead of 0, where λ is infinite. It works with 1 − ᾱ in float32, in which
/// 0.001 becomes this.
const ALMOST_ZERO: f64 = 1.0 / 1024.0;

fn uni_pc(walk: &mut Walk<'_>, x: Tensor, order: usize, b: fn(f64) -> f64) -> Result<Tensor> {
    if let Some(last) = walk.sigmas.last_mut().filter(|s| **s == 0.0) {
        *last = ALMOST_ZERO;
    }
    let steps = walk.sigmas.len() - 1;
    predict_and_correct(walk, x, order.min(steps.saturating_sub(1)).max(1), b)
}

/// `b`: the function B of the step's length h in λ = −ln σ.
fn predict_and_correct(walk: &mut Walk<'_>, mut x: Tensor, order: usize, b: fn(f64) -> f64) -> Result<Tensor> {
    let steps = walk.sigmas.len() - 1;
    // Guesses with their sigmas, newest first.
    let mut past: Vec<(Tensor, f64)> = Vec::with_capacity(order + 1);
    // Where the last step began, and its order: what the corrector does again with the guess at its end.
    let mut last: Option<(Tensor, usize)> = None;
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        if let Some((from, used)) = last.take() {
            x = Update::new(&past[..used], sigma, b).correct(&from, &denoised)?;
        }
        past.insert(0, (denoised, sigma));
        past.truncate(order);
        let used = past.len().min(steps - step);
        if next == 0.0 {
            // A step of infinite length: the guess.
            return Ok(past.swap_remove(0).0);
        }
        let predicted = Update::new(&past[..used], next, b).predict(&x)?;
        last = Some((std::mem::replace(&mut x, predicted), used));
    }
    Ok(x)
}

/// One step to a sigma, from the guesses before it.
struct Update<'a> {
    past: &'a [(Tensor, f64)],
    /// σ at the end over σ at the beginning, e^−h.
    ratio: f64,
    /// B(h).
    b: f64,
    /// λ of the earlier guesses, in units of the step and relative to its beginning, and 1 for its end.
    r: Vec<f64>,
    /// The right side of the paper's equation for the weights.
    right: Vec<f64>,
}

impl<'a> Update<'a> {
    fn new(past: &'a [(Tensor, f64)], to: f64, b: fn(f64) -> f64) -> Self {
        let from = past[0].1;
        let h = (from / to).ln();
        let mut r: Vec<f64> = past[1..].iter().map(|(_, sigma)| (from / sigma).ln() / h).collect();
        r.push(1.0);
        let b = b(h);
        let mut phi = (-h).exp_m1() / -h - 1.0;
        let mut factorial = 1.0;
        let mut right = Vec::with_capacity(r.len());
        for i in 1..=r.len() {
            right.push(phi * factorial / b);
            factorial *= (i + 1) as f64;
            phi = phi / -h - 1.0 / factorial;
        }
        Self { past, ratio: to / from, b, r, right }
    }

    fn predict(&self, x: &Tensor) -> Result<Tensor> {
        let earlier = self.r.len() - 1;
        let weights = match earlier {
            0 => Vec::new(),
            // The paper's simpler choice, which needs no equation.
            1 => vec![0.5],
            _ => solve(&self.r[..earlier], &self.right[..earlier]),
        };
        self.apply(x, &weights, None)
    }

    fn correct(&self, x: &Tensor, guess: &Tensor) -> Result<Tensor> {
        let weights = if self.r.len() == 1 { vec![0.5] } else { solve(&self.r, &self.right) };
        self.apply(x, &weights, Some(guess))
    }

    /// x·e^−h + (1 − e^−h)·guess − B·Σ weight·(difference of guesses) / r
    fn apply(&self, x: &Tensor, weights: &[f64], end: Option<&Tensor>) -> Result<Tensor> {
        let newest = &self.past[0].0;
        let others = self.past[1..].iter().map(|(guess, _)| guess).chain(end);
        let mut at_newest = 1.0 - self.ratio;
        let mut terms = vec![(self.ratio, x)];
        for ((weight, r), guess) in weights.iter().zip(&self.r).zip(others) {
            let factor = -self.b * weight / r;
            terms.push((factor, guess));
            at_newest -= factor;
        }
        terms.push((at_newest, newest));
        combine(&terms)
    }
}

/// Weights w with Σⱼ rⱼ^i · wⱼ = rightᵢ for each power i, by Gauss' elimination; at most three of them.
fn solve(r: &[f64], right: &[f64]) -> Vec<f64> {
    let n = r.len();
    let mut rows: Vec<Vec<f64>> =
        (0..n).map(|i| r.iter().map(|r| r.powi(i as i32)).chain([right[i]]).collect()).collect();
    for i in 0..n {
        let pivot = (i..n).max_by(|&a, &b| rows[a][i].abs().total_cmp(&rows[b][i].abs())).unwrap_or(i);
        rows.swap(i, pivot);
        for k in i + 1..n {
            let factor = rows[k][i] / rows[i][i];
            let upper = rows[i].clone();
            for (value, above) in rows[k].iter_mut().zip(upper).skip(i) {
                *value -= factor * above;
            }
        }
    }
    let mut weights = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| rows[i][k] * weights[k]).sum();
        weights[i] = (rows[i][n] - known) / rows[i][i];
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let r = [-0.7, -1.9, 1.0];
        let weights = solve(&r, &[0.3, -0.2, 0.9]);
        for (power, right) in [0.3, -0.2, 0.9].into_iter().enumerate() {
            let left: f64 = weights.iter().zip(r).map(|(w, r)| w * r.powi(power as i32)).sum();
            assert!((left - right).abs() < 1e-12);
        }
    }
}

//! A running mean of the weights (EMA) beside any optimizer: what is saved, sampled with and validated is the mean, and
//! training goes on with the weights themselves.

use super::state::{Kept, State, Values, zeros};
use super::{Optimize, Slot};
use anyhow::Result;
use rayon::prelude::*;

/// Names of what is kept for the mean, besides what the optimizer keeps.
const MEAN: &str = "ema";
const UPDATES: &str = "ema_updates";

/// An optimizer with a running mean of the weights.
///
/// At the n-th update of the mean its share that is kept is min(`decay`, (1 + n) / (10 + n)), so that the first weights,
/// which know nothing, are soon forgotten. Source: torch_ema (as ai-toolkit uses it); diffusers' `EMAModel` counts n
/// from one less.
pub(super) struct Averaged {
    optimizer: Box<dyn Optimize>,
    decay: f64,
    /// Optimizer steps from update to update of the mean.
    every: u64,
    state: State,
}

impl Averaged {
    pub(super) fn boxed(
        optimizer: Box<dyn Optimize>,
        decay: f64,
        every: u64,
        shapes: &[Vec<usize>],
    ) -> Box<dyn Optimize> {
        let mut state = State::new(shapes, |shape| vec![(MEAN, zeros(shape))]);
        state.scalars = vec![(UPDATES, 0.0)];
        Box::new(Self { optimizer, decay, every: every.max(1), state })
    }

    fn update(&mut self, params: &[&mut [f32]], keep: f32) {
        self.state.tensors.par_iter_mut().zip(params).for_each(|(kept, param)| {
            let [Values::F32(mean)] = kept.arrays.as_mut_slice() else { return };
            for (m, p) in mean.iter_mut().zip(param.iter()) {
                *m = *p + keep * (*m - *p);
            }
        });
    }
}

impl Optimize for Averaged {
    fn step(&mut self, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]) {
        if self.optimizer.steps() == 0 {
            self.update(params, 0.0);
        }
        self.optimizer.step(params, grads, lrs);
        if self.optimizer.steps().is_multiple_of(self.every) {
            let updates = self.state.scalar(UPDATES);
            *updates += 1.0;
            let keep = self.decay.min((1.0 + *updates) / (10.0 + *updates));
            self.update(params, keep as f32);
        }
    }

    fn steps(&self) -> u64 {
        self.optimizer.steps()
    }

    fn state(&self) -> Vec<Slot> {
        let mut all = self.optimizer.state();
        all.extend(self.state.slots());
        all
    }

    fn restore(&mut self, steps: u64, slots: Vec<Slot>) -> Result<()> {
        let (own, rest) = slots.into_iter().partition(|s| s.name == MEAN || s.name == UPDATES);
        self.state.restore(steps, own)?;
        self.optimizer.restore(steps, rest)
    }

    fn evaluated(&self, _params: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
        if self.optimizer.steps() == 0 {
            return None;
        }
        let mean = |kept: &Kept| match kept.arrays.as_slice() {
            [Values::F32(mean)] => mean.clone(),
            _ => Vec::new(),
        };
        Some(self.state.tensors.iter().map(mean).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn averaged(every: u64) -> Box<dyn Optimize> {
        let row = find("sgd").unwrap();
        let shapes = [vec![2]];
        Averaged::boxed((row.build)(&row.settings(), &shapes), 0.5, every, &shapes)
    }

    #[test]
    fn the_mean_follows_the_weights() {
        let (mut opt, mut x) = (averaged(2), [1.0f32, -1.0]);
        let mut step = |x: &mut [f32; 2]| {
            opt.step(&mut [x], &[&[1.0, 0.0]], &[0.1]);
            opt.evaluated(&[&*x]).unwrap()[0].clone()
        };
        assert_eq!(step(&mut x), [1.0, -1.0], "every second step");
        let mean = step(&mut x);
        // The first update keeps 2/11.
        assert!((mean[0] - (x[0] + 2.0 / 11.0 * (1.0 - x[0]))).abs() < 1e-6 && mean[1] == -1.0);
        for _ in 0..40 {
            step(&mut x);
        }
        let before = step(&mut x);
        let after = step(&mut x);
        assert!((after[0] - (x[0] + 0.5 * (before[0] - x[0]))).abs() < 1e-5, "the decay is the upper bound");
    }

    #[test]
    fn it_goes_on_with_the_same_bits() {
        let (mut a, mut b) = (averaged(2), averaged(2));
        let mut x = [0.5f32, 2.0];
        let grad = |i: usize| [(i as f32).sin(), 0.3];
        (0..5).for_each(|i| a.step(&mut [&mut x], &[&grad(i)], &[0.1]));
        b.restore(a.steps(), a.state()).unwrap();
        let mut y = x;
        for i in 5..8 {
            a.step(&mut [&mut x], &[&grad(i)], &[0.1]);
            b.step(&mut [&mut y], &[&grad(i)], &[0.1]);
        }
        assert_eq!((a.state(), a.evaluated(&[&x])), (b.state(), b.evaluated(&[&y])));
        let row = find("sgd").unwrap();
        let plain = (row.build)(&row.settings(), &[vec![2]]);
        assert!(b.restore(1, plain.state()).is_err(), "a state without a mean");
    }
}

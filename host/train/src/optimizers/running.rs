//! What all optimizers have in common: settings, state, and a rule that goes over the tensors.

use super::state::{Kept, Layout, State};
use super::{Optimize, Settings, Slot};
use anyhow::Result;
use rayon::prelude::*;

/// How one optimizer updates all tensors.
pub(super) trait Rule: Send + Sync {
    /// One update. `state.steps` is already the number of this update, from 1.
    fn step(&self, s: &Settings, state: &mut State, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]);

    /// See [`Optimize::evaluated`].
    fn evaluated(&self, _s: &Settings, _state: &State, _params: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
        None
    }
}

pub(super) struct Running<R> {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) rule: R,
}

impl<R: Rule> Optimize for Running<R> {
    fn step(&mut self, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]) {
        self.state.steps += 1;
        self.rule.step(&self.settings, &mut self.state, params, grads, lrs);
    }

    fn steps(&self) -> u64 {
        self.state.steps
    }

    fn state(&self) -> Vec<Slot> {
        self.state.slots()
    }

    fn restore(&mut self, steps: u64, slots: Vec<Slot>) -> Result<()> {
        self.state.restore(steps, slots)
    }

    fn evaluated(&self, params: &[&[f32]]) -> Option<Vec<Vec<f32>>> {
        self.rule.evaluated(&self.settings, &self.state, params)
    }
}

/// What a rule sees of one tensor at one update.
pub(super) struct Tensor<'a> {
    pub(super) param: &'a mut [f32],
    pub(super) grad: &'a [f32],
    pub(super) kept: &'a mut Kept,
    /// Learning rate.
    pub(super) lr: f64,
}

/// Calls `f` for every tensor, many at a time; the results are in the order of the tensors. Each tensor is worked on by
/// one thread, so that the number of threads changes no bit.
pub(super) fn each<T: Send>(
    kept: &mut [Kept],
    params: &mut [&mut [f32]],
    grads: &[&[f32]],
    lrs: &[f64],
    f: impl Fn(Tensor<'_>) -> T + Send + Sync,
) -> Vec<T> {
    let all = kept.par_iter_mut().zip(params).zip(grads).zip(lrs);
    all.map(|(((kept, param), grad), &lr)| f(Tensor { param, grad, kept, lr })).collect()
}

/// A rule that treats every tensor on its own: settings, number of the update, the tensor.
pub(super) type Tensorwise = fn(&Settings, u64, Tensor<'_>);

impl Rule for Tensorwise {
    fn step(&self, s: &Settings, state: &mut State, params: &mut [&mut [f32]], grads: &[&[f32]], lrs: &[f64]) {
        let t = state.steps;
        each(&mut state.tensors, params, grads, lrs, |tensor| self(s, t, tensor));
    }
}

/// A running optimizer that treats every tensor on its own.
pub(super) fn tensorwise(
    settings: &Settings,
    shapes: &[Vec<usize>],
    layout: Layout,
    rule: Tensorwise,
) -> Box<dyn Optimize> {
    Box::new(Running { settings: settings.clone(), state: State::new(shapes, layout), rule })
}

/// `a · b + c`, rounded once: in f64 the product of two f32 is exact. (Twice, with different result, for about one in
/// 10⁸ numbers.) torch's kernels compute sums of products so; `f32::mul_add` would be a call for each number.
pub(super) fn fma(a: f32, b: f32, c: f32) -> f32 {
    (f64::from(a) * f64::from(b) + f64::from(c)) as f32
}

/// `a + (b − a) · share` as `torch.lerp` rounds it.
pub(super) fn lerp(a: f32, b: f32, share: f32) -> f32 {
    if share.abs() < 0.5 { a + share * (b - a) } else { b - (b - a) * (1.0 - share) }
}

//! Averaged weights: some optimizers, and a running mean (`ema_decay`), train with one set of weights and are worth
//! more with another.

use crate::step::Trainer;
use anyhow::Result;

impl Trainer {
    /// The weights to save, to sample with and to validate, in the order of the trained tensors; None: those that are
    /// trained.
    pub fn evaluated(&self) -> Option<Vec<Vec<f32>>> {
        let values: Vec<&[f32]> = self.trained.params.iter().map(|p| p.values.as_slice()).collect();
        self.optimizer.evaluated(&values)
    }

    /// Does something with the weights that count, and goes back to those that are trained.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn with_evaluated<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let Some(mut other) = self.evaluated() else { return f(self) };
        self.swap(&mut other)?;
        let result = f(self);
        // Before the result is looked at: after an error, too, training must go on where it was.
        self.swap(&mut other)?;
        result
    }

    fn swap(&mut self, other: &mut [Vec<f32>]) -> Result<()> {
        for (param, other) in self.trained.params.iter_mut().zip(other) {
            std::mem::swap(&mut param.values, other);
            param.publish()?;
        }
        Ok(())
    }
}

//! How long a run is, and its seed.

use super::{Problems, Section};
use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// How long a run is, and its seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunOptions {
    /// Seed of everything that is drawn by chance. Default 0.
    pub seed: u64,
    /// Length of the run in optimizer steps. Give this or `epochs`.
    pub steps: Option<u64>,
    /// Length of the run in passes over the images with their repeats. Default 10, unless `steps` is given.
    pub epochs: Option<u64>,
    /// Images in a batch. Default 2.
    pub batch_size: usize,
    /// Batches whose gradients are averaged for one optimizer step. Default 1.
    pub gradient_accumulation: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { seed: 0, steps: None, epochs: None, batch_size: 2, gradient_accumulation: 1 }
    }
}

impl RunOptions {
    /// Optimizer steps of a run with so many of them in an epoch.
    pub fn total_steps(&self, steps_per_epoch: u64) -> Result<u64> {
        let total = match (self.steps, self.epochs) {
            (Some(steps), None) => steps,
            (None, epochs) => epochs.unwrap_or(10).saturating_mul(steps_per_epoch),
            (Some(_), Some(_)) => bail!("give `steps` or `epochs`, not both"),
        };
        ensure!(total > 0, "the run has no steps: the data set is empty");
        Ok(total)
    }
}

impl Section for RunOptions {
    fn check(&self, problems: &mut Problems) {
        problems.at_least_one("steps", self.steps.unwrap_or(1));
        problems.at_least_one("epochs", self.epochs.unwrap_or(1));
        problems.at_least_one("batch_size", self.batch_size as u64);
        problems.at_least_one("gradient_accumulation", self.gradient_accumulation);
        problems.want(self.steps.is_none() || self.epochs.is_none(), "give `steps` or `epochs`, not both");
    }
}

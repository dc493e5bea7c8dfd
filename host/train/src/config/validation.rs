//! Looking at pictures that are not trained on.

use super::{Problems, Section};
use serde::{Deserialize, Serialize};

/// Looking at pictures that are not trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationOptions {
    /// Share of the pictures that are held back from training. Their loss, at fixed timesteps with fixed noise, tells
    /// learning from learning by heart. Default 0: none.
    pub validation_share: f64,
    /// Optimizer steps from one look to the next. Default 50.
    pub validation_every: u64,
    /// Timesteps at which each picture is looked at, evenly spread. Default 4.
    pub validation_times: usize,
    /// Held-back pictures, and as many trained ones, that are looked at, at most. Default 16.
    pub validation_images: usize,
}

impl Default for ValidationOptions {
    fn default() -> Self {
        Self { validation_share: 0.0, validation_every: 50, validation_times: 4, validation_images: 16 }
    }
}

impl Section for ValidationOptions {
    fn check(&self, problems: &mut Problems) {
        problems.want(
            (0.0..=0.5).contains(&self.validation_share),
            format!("`validation_share`: expected 0 to 0.5, found {}", self.validation_share),
        );
        problems.at_least_one("validation_every", self.validation_every);
        problems.at_least_one("validation_times", self.validation_times as u64);
        problems.at_least_one("validation_images", self.validation_images as u64);
    }
}

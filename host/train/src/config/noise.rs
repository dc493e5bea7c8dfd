//! The noise that the network learns to see.

use super::{Problems, Section};
use crate::losses::Prediction;
use serde::{Deserialize, Serialize};

/// The noise that the network learns to see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseOptions {
    /// What the network outputs: `epsilon` or `v`. Default: what the base was trained for.
    pub prediction: Option<Prediction>,
    /// Strength of the noise offset. Default 0.
    pub noise_offset: f64,
    /// Lowest timestep that is drawn. Default 0.
    pub min_timestep: u32,
    /// One more than the highest timestep that is drawn. Default: all.
    pub max_timestep: Option<u32>,
}

impl Default for NoiseOptions {
    fn default() -> Self {
        Self { prediction: None, noise_offset: 0.0, min_timestep: 0, max_timestep: None }
    }
}

impl Section for NoiseOptions {
    fn check(&self, problems: &mut Problems) {
        problems.not_negative("noise_offset", self.noise_offset);
    }
}

//! How a prediction is judged.

use super::{Problems, Section};
use crate::losses::{self, HuberSchedule};
use serde::{Deserialize, Serialize};

/// How a prediction is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossOptions {
    /// A row of `LOSSES`. Default `l2`.
    #[serde(rename = "loss")]
    pub kind: String,
    /// A row of `WEIGHTINGS`. Default `min_snr`.
    #[serde(rename = "loss_weighting")]
    pub weighting: String,
    /// Gamma of `min_snr`. Default 5.
    pub min_snr_gamma: f64,
    /// Where Huber losses turn from square to linear. Default 0.1.
    pub huber_c: f64,
    /// How `huber_c` depends on the timestep: `constant`, `exponential` or `snr`. Default `snr`.
    pub huber_schedule: HuberSchedule,
    /// Count the loss only where the image is opaque. Default false.
    pub masked_loss: bool,
}

impl Default for LossOptions {
    fn default() -> Self {
        Self {
            kind: "l2".into(),
            weighting: "min_snr".into(),
            min_snr_gamma: 5.0,
            huber_c: 0.1,
            huber_schedule: HuberSchedule::default(),
            masked_loss: false,
        }
    }
}

impl Section for LossOptions {
    fn check(&self, problems: &mut Problems) {
        problems.found(losses::find(&self.kind));
        problems.found(losses::find_weighting(&self.weighting));
        problems.positive("min_snr_gamma", self.min_snr_gamma);
        problems.positive("huber_c", self.huber_c);
    }
}

//! How a prediction is judged.

use super::{Problems, Section};
use crate::losses::{self, HuberSchedule, Prediction};
use serde::{Deserialize, Serialize};

/// How a prediction is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossOptions {
    /// A row of `LOSSES`. Default `l2`.
    #[serde(rename = "loss")]
    pub kind: String,
    /// A row of `WEIGHTINGS`. Default: `min_snr`, or `none` for flow matching.
    #[serde(rename = "loss_weighting")]
    pub weighting: Option<String>,
    /// Gamma of `min_snr`. Default 5.
    pub min_snr_gamma: f64,
    /// Where Huber losses turn from square to linear. Default 0.1.
    pub huber_c: f64,
    /// How `huber_c` depends on the timestep: `constant`, `exponential` or `snr`. Default `snr`.
    pub huber_schedule: HuberSchedule,
    /// For bases that predict v: weigh losses as if noise were predicted. Default false.
    pub scale_v_pred_loss_like_noise_pred: bool,
    /// For bases that predict noise: adds the loss of v times this. Default 0.
    pub v_pred_like_loss: f64,
    /// Count the loss only where the image is opaque. Default false.
    pub masked_loss: bool,
}

impl Default for LossOptions {
    fn default() -> Self {
        Self {
            kind: "l2".into(),
            weighting: None,
            min_snr_gamma: 5.0,
            huber_c: 0.1,
            huber_schedule: HuberSchedule::default(),
            scale_v_pred_loss_like_noise_pred: false,
            v_pred_like_loss: 0.0,
            masked_loss: false,
        }
    }
}

impl LossOptions {
    /// Name of the weighting for networks that predict this.
    pub fn weighting(&self, prediction: Prediction) -> &str {
        self.weighting.as_deref().unwrap_or(if prediction.is_flow() { "none" } else { "min_snr" })
    }
}

impl Section for LossOptions {
    fn check(&self, problems: &mut Problems) {
        problems.found(losses::find(&self.kind));
        if let Some(name) = &self.weighting {
            problems.found(losses::find_weighting(name));
        }
        problems.not_negative("v_pred_like_loss", self.v_pred_like_loss);
        problems.positive("min_snr_gamma", self.min_snr_gamma);
        problems.positive("huber_c", self.huber_c);
    }
}

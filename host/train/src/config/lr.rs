//! How the learning rate changes over a run.

use super::{Problems, Section};
use crate::lr_schedules::{self, Curve};
use serde::{Deserialize, Serialize};

/// How the learning rate changes over a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LrOptions {
    /// A row of `LR_SCHEDULES`. Default: the optimizer's own; `cosine_with_restarts` for adamw.
    #[serde(rename = "lr_schedule")]
    pub schedule: Option<String>,
    /// Warm-up in optimizer steps, or below 1 as a share of all steps. Default 0.05.
    #[serde(rename = "lr_warmup")]
    pub warmup: f64,
    /// Number of cosine waves (`cosine_with_restarts`). Default 3.
    #[serde(rename = "lr_cycles")]
    pub cycles: u32,
    /// Exponent (`polynomial`). Default 1.
    #[serde(rename = "lr_power")]
    pub power: f64,
    /// Lowest rate as a share of the full one (`cosine_with_min_lr`, `warmup_stable_decay`). Default 0.1.
    #[serde(rename = "lr_min_ratio")]
    pub min_ratio: f64,
    /// Steps of the fall to 0.71 (`inverse_sqrt`). Default: the warm-up, or 10000 without one.
    #[serde(rename = "lr_timescale")]
    pub timescale: Option<u64>,
    /// Factors of the rate, each with the step where it ends, the last without (`piecewise_constant`), such as
    /// `1:100,0.1:200,0.01`. Default: none.
    pub lr_step_rules: String,
    /// Length of the fall (`warmup_stable_decay`) in steps, or below 1 as a share of all steps. Default 0.2.
    #[serde(rename = "lr_decay")]
    pub decay: f64,
}

impl Default for LrOptions {
    fn default() -> Self {
        Self {
            schedule: None,
            warmup: 0.05,
            cycles: 3,
            power: 1.0,
            min_ratio: 0.1,
            timescale: None,
            lr_step_rules: String::new(),
            decay: 0.2,
        }
    }
}

impl LrOptions {
    /// The shape of a learning rate of `lr` over a run of `total` optimizer steps.
    pub fn curve(&self, lr: f64, total: u64) -> Curve {
        let steps = |value: f64| if value < 1.0 { (value * total as f64).floor() as u64 } else { value as u64 };
        Curve {
            cycles: f64::from(self.cycles),
            power: self.power,
            min_ratio: self.min_ratio,
            timescale: self.timescale,
            rules: lr_schedules::step_rules(&self.lr_step_rules).unwrap_or_default(),
            decay: steps(self.decay),
            ..Curve::new(lr, total, steps(self.warmup))
        }
    }
}

impl Section for LrOptions {
    fn check(&self, problems: &mut Problems) {
        if let Some(schedule) = &self.schedule {
            problems.found(lr_schedules::find(schedule));
        }
        problems.found(lr_schedules::step_rules(&self.lr_step_rules));
        problems.at_least_one("lr_cycles", self.cycles.into());
        problems.not_negative("lr_warmup", self.warmup);
        problems.not_negative("lr_decay", self.decay);
        problems.share("lr_min_ratio", self.min_ratio);
    }
}

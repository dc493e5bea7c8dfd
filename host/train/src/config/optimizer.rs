//! How weights are changed.

use super::{Problems, Section};
use crate::optimizers::{self, Settings};
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// How weights are changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerOptions {
    /// A row of `OPTIMIZERS`. Default `adamw`.
    #[serde(rename = "optimizer")]
    pub kind: String,
    /// Learning rate of the UNet's network. Default 5e-4.
    pub learning_rate: f64,
    /// Learning rate of the text encoder's network. Default: half of `learning_rate`.
    pub text_encoder_lr: Option<f64>,
    /// Decay of the optimizer's running means. Default: the optimizer's own.
    pub betas: Option<(f64, f64)>,
    /// Added to the optimizer's denominator. Default: the optimizer's own.
    pub eps: Option<f64>,
    /// Weight decay. Default: the optimizer's own.
    pub weight_decay: Option<f64>,
    /// Momentum (sgd). Default: the optimizer's own.
    pub momentum: Option<f64>,
    /// Gradients are scaled down so that their norm is at most this; 0: never. Default 1.
    pub max_grad_norm: f64,
}

impl Default for OptimizerOptions {
    fn default() -> Self {
        Self {
            kind: "adamw".into(),
            learning_rate: 5e-4,
            text_encoder_lr: None,
            betas: None,
            eps: None,
            weight_decay: None,
            momentum: None,
            max_grad_norm: 1.0,
        }
    }
}

impl OptimizerOptions {
    /// Learning rate of the text encoder's network.
    pub fn text_encoder_lr(&self) -> f64 {
        self.text_encoder_lr.unwrap_or(self.learning_rate / 2.0)
    }

    /// The optimizer's numbers: what was asked for, else its row's.
    pub fn settings(&self) -> Result<Settings> {
        let d = optimizers::find(&self.kind)?.defaults;
        Ok(Settings {
            betas: self.betas.unwrap_or(d.betas),
            eps: self.eps.unwrap_or(d.eps),
            weight_decay: self.weight_decay.unwrap_or(d.weight_decay),
            momentum: self.momentum.unwrap_or(d.momentum),
        })
    }
}

impl Section for OptimizerOptions {
    fn check(&self, problems: &mut Problems) {
        problems.found(optimizers::find(&self.kind));
        problems.positive("learning_rate", self.learning_rate);
        problems.positive("text_encoder_lr", self.text_encoder_lr());
        problems.not_negative("max_grad_norm", self.max_grad_norm);
        problems.not_negative("weight_decay", self.weight_decay.unwrap_or(0.0));
        let (b1, b2) = self.settings().map(|s| s.betas).unwrap_or_default();
        let ok = (0.0..1.0).contains(&b1) && (0.0..1.0).contains(&b2);
        problems.want(ok, format!("`betas`: expected two numbers from 0 to below 1, found {b1} and {b2}"));
    }
}

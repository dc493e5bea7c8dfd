//! The noise that the network learns to see, and when.

use super::{Problems, Section};
use crate::losses::Prediction;
use crate::time_samplings::{self, TimeShape};
use serde::{Deserialize, Serialize};

/// The noise that the network learns to see, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseOptions {
    /// What the network outputs: `epsilon`, `v` or `flow`. Default: what the base was trained for.
    pub prediction: Option<Prediction>,
    /// Stretch the noise schedule so that nothing of the picture is left at the last timestep; for bases that predict v.
    /// Default: as the base was trained.
    pub zero_terminal_snr: Option<bool>,
    /// Strength of the noise offset. Default 0.
    pub noise_offset: f64,
    /// Draw the strength of each step between 0 and `noise_offset`. Default false.
    pub noise_offset_random: bool,
    /// Adds this times the mean of the latent to the strength of the noise offset. Default 0.
    pub adaptive_noise_scale: f64,
    /// Levels of pyramid noise; 6 to 10 are usual. Default 0: none.
    pub pyramid_noise_levels: usize,
    /// Weight of each level of pyramid noise to the one before. Default 0.3.
    pub pyramid_noise_discount: f64,
    /// Noise on top of what the network sees, which it is not told of; 0.1 is usual. Default 0.
    pub ip_noise_gamma: f64,
    /// Draw the strength of each step between 0 and `ip_noise_gamma`. Default false.
    pub ip_noise_gamma_random: bool,
    /// A row of `TIME_SAMPLINGS`. Default: `uniform`, or `sigmoid` for flow matching.
    pub timestep_sampling: Option<String>,
    /// Spread of the normal number that `sigmoid`, `shift` and `flux_shift` start from. Default 1.
    pub sigmoid_scale: f64,
    /// Shift of times towards noise by `shift`; 1: none. Default 3.
    pub flow_shift: f64,
    /// Mean of `logit_normal`. Default 0.
    pub logit_mean: f64,
    /// Spread of `logit_normal`. Default 1.
    pub logit_std: f64,
    /// Lowest timestep that is drawn. Default 0.
    pub min_timestep: u32,
    /// One more than the highest timestep that is drawn. Default: all.
    pub max_timestep: Option<u32>,
    /// What a base that was distilled with a guidance is told; LoRAs for Flux.1-dev are trained with 1. Default 1.
    pub guidance_scale: f64,
}

impl Default for NoiseOptions {
    fn default() -> Self {
        Self {
            prediction: None,
            zero_terminal_snr: None,
            noise_offset: 0.0,
            noise_offset_random: false,
            adaptive_noise_scale: 0.0,
            pyramid_noise_levels: 0,
            pyramid_noise_discount: 0.3,
            ip_noise_gamma: 0.0,
            ip_noise_gamma_random: false,
            timestep_sampling: None,
            sigmoid_scale: 1.0,
            flow_shift: 3.0,
            logit_mean: 0.0,
            logit_std: 1.0,
            min_timestep: 0,
            max_timestep: None,
            guidance_scale: 1.0,
        }
    }
}

impl NoiseOptions {
    /// Name of the row that times are drawn by, for networks that predict this.
    pub fn timestep_sampling(&self, prediction: Prediction) -> &str {
        self.timestep_sampling.as_deref().unwrap_or(if prediction.is_flow() { "sigmoid" } else { "uniform" })
    }

    /// What shapes the distribution of times, for a picture of so many tokens.
    pub fn time_shape(&self, tokens: usize) -> TimeShape {
        let (scale, shift) = (self.sigmoid_scale, self.flow_shift);
        TimeShape { scale, shift, logit: (self.logit_mean, self.logit_std), tokens }
    }
}

impl Section for NoiseOptions {
    fn check(&self, problems: &mut Problems) {
        if let Some(name) = &self.timestep_sampling {
            problems.found(time_samplings::find(name));
        }
        problems.not_negative("noise_offset", self.noise_offset);
        problems.not_negative("ip_noise_gamma", self.ip_noise_gamma);
        problems.share("pyramid_noise_discount", self.pyramid_noise_discount);
        problems.positive("sigmoid_scale", self.sigmoid_scale);
        problems.positive("flow_shift", self.flow_shift);
        problems.positive("logit_std", self.logit_std);
        problems.not_negative("guidance_scale", self.guidance_scale);
        problems.want(
            self.noise_offset == 0.0 || self.pyramid_noise_levels == 0,
            "`noise_offset` and `pyramid_noise_levels` do the same thing in two ways: set one of them",
        );
        let last = self.max_timestep.unwrap_or(u32::MAX);
        problems.want(
            self.min_timestep < last,
            format!("`min_timestep`: expected less than `max_timestep` ({last}), found {}", self.min_timestep),
        );
    }
}

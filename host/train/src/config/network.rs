//! What is trained.

use super::{Problems, Section};
use crate::networks::{self, Targets};
use serde::{Deserialize, Serialize};

/// What is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkOptions {
    /// What is trained on top of the base: a row of `NETWORKS`. Default `lora`.
    #[serde(rename = "network")]
    pub kind: String,
    /// Rank of the added matrices, 1 to 1024. Default 16.
    pub rank: usize,
    /// Scale of what is added is alpha / rank. Default: the rank, so that the scale is 1.
    pub alpha: Option<f64>,
    /// Which layers get a network: `attention`, or `attention+feed-forward` (sd-scripts' set). Default the latter.
    pub targets: Targets,
    /// Train the UNet. Default true.
    pub train_unet: bool,
    /// Train the text encoder, too. Default false.
    pub train_text_encoder: bool,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            kind: "lora".into(),
            rank: 16,
            alpha: None,
            targets: Targets::default(),
            train_unet: true,
            train_text_encoder: false,
        }
    }
}

impl NetworkOptions {
    /// Alpha, which is the rank if nothing else was said.
    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(self.rank as f64)
    }
}

impl Section for NetworkOptions {
    fn check(&self, problems: &mut Problems) {
        problems.found(networks::find(&self.kind));
        problems.want((1..=1024).contains(&self.rank), format!("`rank`: expected 1 to 1024, found {}", self.rank));
        problems.positive("alpha", self.alpha());
        problems.want(
            self.train_unet || self.train_text_encoder,
            "nothing to train: `train_unet` and `train_text_encoder` are both false",
        );
    }
}

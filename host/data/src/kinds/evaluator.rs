//! Scores pictures.

use crate::Image;
use serde::{Deserialize, Serialize};
use spec::PluginError;

/// What one number means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metric {
    pub name: String,
    pub higher_is_better: bool,
    /// Smallest and largest value that make sense, for colours and plots.
    pub low: f64,
    pub high: f64,
    /// Has a value for each sample; otherwise one for the whole set.
    pub per_sample: bool,
    pub description: String,
}

/// One picture to score.
#[derive(Clone, Debug)]
pub struct Sample {
    pub id: String,
    pub image: Image,
    pub prompt: String,
    /// The same prompt and seed without the LoRA, if there is one.
    pub reference: Option<Image>,
    pub seed: Option<u64>,
    /// Room to grow: a JSON object, such as the checkpoint and strength that made the picture.
    pub extra: Option<serde_json::Value>,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub metric: String,
    pub value: f64,
}

/// A configured evaluator. It gathers samples until [`Evaluator::finish`].
pub trait Evaluator: Send {
    /// The numbers that it gives.
    fn metrics(&self) -> &[Metric];

    /// Images of the data set to compare with, before any sample.
    ///
    /// # Errors
    /// The plugin failed.
    fn reference(&mut self, images: Vec<Image>) -> Result<(), PluginError>;

    /// Scores of each sample, one list per sample in order; empty lists for set-level metrics.
    ///
    /// # Errors
    /// The plugin failed.
    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>, PluginError>;

    /// Scores of the whole set. Forgets the samples, keeps the reference.
    ///
    /// # Errors
    /// The plugin failed.
    fn finish(&mut self) -> Result<Vec<Score>, PluginError>;
}

//! Scores pictures, one by one and as a set.

use crate::{Error, Image, Info, Inputs, Result};
use serde::{Deserialize, Serialize};

/// Something that is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metric {
    /// Short and unique, such as `sharpness`.
    pub name: String,
    pub higher_is_better: bool,
    /// The smallest value that is usual, for scales.
    pub low: f64,
    /// The largest value that is usual.
    pub high: f64,
    /// Scores come from `add`, one per sample; else from `finish`.
    pub per_sample: bool,
    pub description: String,
}

/// A metric as a line of a table: name, is more better?, low, high, for each sample?, description.
pub type MetricRow = (&'static str, bool, f64, f64, bool, &'static str);

impl From<&MetricRow> for Metric {
    fn from(&(name, higher_is_better, low, high, per_sample, description): &MetricRow) -> Self {
        Self { name: name.into(), higher_is_better, low, high, per_sample, description: description.into() }
    }
}

/// One value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Score {
    pub metric: String,
    pub value: f64,
}

impl Score {
    /// A score by its metric's name.
    pub fn new(metric: impl Into<String>, value: f64) -> Self {
        Self { metric: metric.into(), value }
    }
}

/// One picture to score.
#[derive(Debug)]
pub struct Sample {
    pub id: String,
    pub image: Image,
    pub prompt: String,
    /// The same prompt and seed without the LoRA.
    pub reference: Option<Image>,
    pub seed: Option<u64>,
    /// More that the host knows: a JSON object.
    pub extra: Option<serde_json::Value>,
}

/// A plugin that scores pictures.
///
/// ```
/// use plugin_sdk::{Evaluator, Info, Metric, Result, Sample, Score, info};
///
/// #[derive(Default)]
/// struct Area;
///
/// impl Evaluator for Area {
///     type Settings = ();
///     const INFO: Info = info!("example.area", "Area");
///
///     fn open((): ()) -> Result<Self> {
///         Ok(Self)
///     }
///
///     fn metrics(&self) -> Vec<Metric> {
///         vec![Metric {
///             name: "area".into(),
///             higher_is_better: true,
///             low: 0.0,
///             high: 1e6,
///             per_sample: true,
///             description: "pixels".into(),
///         }]
///     }
///
///     fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>> {
///         let area = |s: &Sample| f64::from(s.image.width()) * f64::from(s.image.height());
///         Ok(batch.iter().map(|s| vec![Score::new("area", area(s))]).collect())
///     }
/// }
/// ```
pub trait Evaluator: Sized + Send + 'static {
    /// What the user can set.
    type Settings: Inputs;
    /// Usually [`info!`](crate::info).
    const INFO: Info;

    /// Called once, before the others.
    ///
    /// # Errors
    /// The settings do not fit each other, or what they name is missing.
    fn open(settings: Self::Settings) -> Result<Self>;

    /// What it will measure with these settings.
    fn metrics(&self) -> Vec<Metric>;

    /// Images of the dataset, to compare with. Called any number of times before the first `add`.
    ///
    /// # Errors
    /// The evaluator cannot go on.
    fn reference(&mut self, batch: Vec<Image>) -> Result<()> {
        drop(batch);
        Ok(())
    }

    /// The scores of each sample, in order; empty for a sample without.
    ///
    /// # Errors
    /// The evaluator cannot go on.
    fn add(&mut self, batch: Vec<Sample>) -> Result<Vec<Vec<Score>>>;

    /// Scores of the whole set; afterwards it starts anew, but keeps the reference images.
    ///
    /// # Errors
    /// The evaluator cannot go on.
    fn finish(&mut self) -> Result<Vec<Score>> {
        Ok(Vec::new())
    }
}

/// Scores must be numbers: JSON has no others, and a table cannot rank them.
pub(crate) fn finite(scores: &[Score]) -> Result<()> {
    match scores.iter().find(|s| !s.value.is_finite()) {
        Some(s) => Err(Error::internal(format!("metric `{}`: expected a finite number, found {}", s.metric, s.value))),
        None => Ok(()),
    }
}

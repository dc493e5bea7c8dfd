use serde::{Deserialize, Serialize};
use spec::ObjectType;
use std::collections::BTreeMap;

/// What evaluators say of the checkpoints of a grid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub metrics: Vec<MetricInfo>,
    /// One per checkpoint and strength, base first, then by step and strength.
    pub rows: Vec<ScoreRow>,
    pub samples: Vec<SampleScores>,
}

/// One column of scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricInfo {
    /// Unique within the table.
    pub name: String,
    /// Id of the evaluator.
    pub evaluator: String,
    pub higher_is_better: bool,
    /// Smallest and largest value that make sense.
    pub low: f64,
    pub high: f64,
    pub per_sample: bool,
    pub description: String,
}

/// The scores of one checkpoint at one strength: means over its samples, or set-level values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Optimizer step; none for the base without a LoRA.
    pub checkpoint: Option<u64>,
    pub strength: f64,
    /// By metric; a metric that does not apply is absent.
    pub values: BTreeMap<String, f64>,
}

/// The scores of one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleScores {
    pub checkpoint: Option<u64>,
    pub strength: f64,
    pub prompt: String,
    pub seed: u64,
    pub values: BTreeMap<String, f64>,
}

impl ObjectType for Scores {
    const SOCKET: &'static str = "SCORES";
}

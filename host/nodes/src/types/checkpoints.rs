use serde::{Deserialize, Serialize};
use spec::ObjectType;

pub use train::{CheckpointFile, LogLine};

/// A training run's saved networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Stem of the files' names.
    pub name: String,
    /// By step; the files lie in the store.
    pub files: Vec<CheckpointFile>,
    pub log: Vec<LogLine>,
    /// Name and digest of the base that they belong to.
    pub base: String,
    pub base_digest: String,
    /// The tag that calls up what was trained, if there is one.
    pub trigger: String,
    /// The settings, all of them.
    pub config: serde_json::Value,
    /// What the trainer found: counts, buckets, warnings.
    pub facts: serde_json::Value,
    /// Time the training took, in seconds.
    pub seconds: f64,
}

impl ObjectType for Checkpoints {
    const SOCKET: &'static str = "CHECKPOINTS";
}

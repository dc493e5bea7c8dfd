use serde::{Deserialize, Serialize};
use spec::ObjectType;

pub use train::{CheckpointFile, Facts, LogLine};

/// A training run's saved networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Stem of the files' names.
    pub name: String,
    /// By step; the files lie in the store.
    pub files: Vec<CheckpointFile>,
    pub log: Vec<LogLine>,
    /// The plan, all settings, and the base that they belong to.
    pub facts: Facts,
    /// The tag that calls up what was trained; empty if there is none.
    pub trigger: String,
    /// Time of all steps, in seconds.
    pub seconds: f64,
}

impl ObjectType for Checkpoints {
    const SOCKET: &'static str = "CHECKPOINTS";
}

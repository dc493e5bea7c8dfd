use spec::ObjectType;
use std::path::PathBuf;

/// A saved state of a training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingState {
    pub path: PathBuf,
    /// Optimizer steps done.
    pub step: u64,
}

impl ObjectType for TrainingState {
    const SOCKET: &'static str = "TRAINING_STATE";
}

//! What a run may take of memory.

use super::{Problems, Section};
use serde::{Deserialize, Serialize};

/// What a run may take of memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryOptions {
    /// Keep only the inputs of the network's blocks, and run each block again on the way back: much less memory for about
    /// a third more time, and the same gradients up to rounding. Default false.
    pub gradient_checkpointing: bool,
}

impl Section for MemoryOptions {
    fn check(&self, _: &mut Problems) {}
}

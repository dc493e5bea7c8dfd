use serde::{Deserialize, Serialize};
use spec::ObjectType;
use std::path::PathBuf;

/// The network that was chosen, and how to use it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub name: String,
    pub path: PathBuf,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    pub step: u64,
    pub strength: f64,
    pub trigger: String,
    /// Why this one, in sentences.
    pub why: String,
    /// All candidates with their total, best first.
    pub ranking: Vec<Ranked>,
}

/// A candidate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    pub step: u64,
    pub strength: f64,
    /// Weighted mean of the normalised scores, 0 to 1.
    pub total: f64,
}

impl ObjectType for Choice {
    const SOCKET: &'static str = "LORA";
}

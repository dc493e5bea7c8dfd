use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the dataset report says; travels as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    pub images: usize,
    /// With repeats.
    pub shown: u64,
    /// Images, and images with repeats, by subset.
    pub subsets: BTreeMap<String, (usize, u64)>,
    /// Images by shape and by the tags that speak of framing.
    pub framing: BTreeMap<String, usize>,
    /// How many images have each tag, most frequent first.
    pub tags: Vec<(String, usize)>,
    pub notes: Vec<String>,
    pub plan: train::Plan,
}

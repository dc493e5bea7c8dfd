//! One trait per plugin kind. The loader implements them over wasm components and native libraries alike.
//!
//! An object is one configured instance: it answers one call at a time and may keep state between calls.

mod captioner;
mod dataset_source;
mod evaluator;
mod tag_filter;

pub use captioner::{CaptionRequest, Captioner};
pub use dataset_source::{DatasetSource, Media, Page, SourceItem};
pub use evaluator::{Evaluator, Metric, Sample, Score};
pub use tag_filter::{FilterRequest, TagFilter, Verdict};

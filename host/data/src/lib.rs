//! Images, annotations, data sets, buckets and the content-addressed store; the trait of each plugin kind.
//!
//! Everything here is plain data on the CPU: no tensors of a framework, no graph, no plugin runtime. The loader
//! implements the traits in [`kinds`], the trainer and the nodes use them. Start at [`Image`] and [`Dataset`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod array;
pub mod buckets;
pub mod captions;
pub mod checksum;
mod dataset;
pub mod duplicates;
pub mod image;
mod inference;
pub mod kinds;
pub mod quality;
pub mod sd_scripts;
mod store;
#[cfg(test)]
mod testing;

pub use crate::array::{Array, ArrayData, Dtype};
pub use crate::buckets::{Assignment, BucketConfig, Buckets};
pub use crate::dataset::{Dataset, Item, Mask};
pub use crate::image::{
    ChannelOrder, Codec, DecodeLimits, Filter, Fit, Image, ImageError, Layout, Perceptual, PixelFormat, Rect,
    ResizeSpec, TensorSpec,
};
pub use crate::inference::{
    Inference, IoDesc, ModelInfo, Network, Networks, Options, Session, WriteReply, WriteRequest, Writer,
};
pub use crate::kinds::{
    CaptionRequest, Captioner, DatasetSource, Evaluator, FilterRequest, Media, Metric, Page, Sample, Score, SourceItem,
    TagFilter, Verdict,
};
pub use crate::store::{Digest, Store, StoreError};

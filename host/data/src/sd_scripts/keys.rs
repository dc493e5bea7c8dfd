//! The keys of sd-scripts' dataset files (`library/config_util.py`), a row each.

use anyhow::{Result, bail};
use serde_json::Value;

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// `[general]` and `[[datasets]]`.
    Dataset,
    /// Also in `[[datasets.subsets]]`.
    Subset,
    /// Only in `[[datasets.subsets]]`.
    Own,
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Bool,
    Whole,
    Number,
    Text,
    /// An edge, or width and height.
    Size,
    Anything,
}

/// What becomes of a key.
#[derive(Clone, Copy)]
pub(super) enum To {
    /// The trainer's key for it; the second is sd-scripts' default as JSON, where the trainer has another.
    Trainer(&'static str, Option<&'static str>),
    /// The import itself acts on it.
    Import,
    /// Makes no difference here.
    Nothing,
    /// Cannot be done, unless it has the value (as JSON) that switches it off.
    Refused(&'static str, &'static str),
}

pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) takes: Takes,
    pub(super) to: To,
}

const fn key(name: &'static str, level: Level, takes: Takes, to: To) -> Key {
    Key { name, level, takes, to }
}

pub(super) const KEYS: &[Key] = &[
    key("resolution", Level::Dataset, Takes::Size, To::Trainer("resolution", None)),
    key("batch_size", Level::Dataset, Takes::Whole, To::Import),
    key("enable_bucket", Level::Dataset, Takes::Bool, To::Trainer("buckets", Some("false"))),
    key("min_bucket_reso", Level::Dataset, Takes::Whole, To::Trainer("bucket_min", Some("256"))),
    key("max_bucket_reso", Level::Dataset, Takes::Whole, To::Trainer("bucket_max", Some("1024"))),
    key("bucket_reso_steps", Level::Dataset, Takes::Whole, To::Trainer("bucket_step", Some("64"))),
    key("bucket_no_upscale", Level::Dataset, Takes::Bool, To::Trainer("bucket_no_upscale", None)),
    key(
        "network_multiplier",
        Level::Dataset,
        Takes::Number,
        To::Refused("1.0", "the network's strength is the same for all images"),
    ),
    key(
        "validation_split",
        Level::Dataset,
        Takes::Number,
        To::Refused("0.0", "images are held back by the trainer's own settings"),
    ),
    key("validation_seed", Level::Dataset, Takes::Whole, To::Nothing),
    key(
        "skip_image_resolution",
        Level::Dataset,
        Takes::Size,
        To::Refused("null", "leave small images out of the folder"),
    ),
    key(
        "resize_interpolation",
        Level::Subset,
        Takes::Text,
        To::Refused("null", "images are resized by area when they shrink, else by Lanczos"),
    ),
    key("num_repeats", Level::Subset, Takes::Whole, To::Import),
    key("shuffle_caption", Level::Subset, Takes::Bool, To::Trainer("shuffle_tags", Some("false"))),
    key("caption_separator", Level::Subset, Takes::Text, To::Trainer("caption_separator", None)),
    key("keep_tokens", Level::Subset, Takes::Whole, To::Trainer("keep_tokens", Some("0"))),
    key("keep_tokens_separator", Level::Subset, Takes::Text, To::Trainer("keep_tokens_separator", None)),
    key("secondary_separator", Level::Subset, Takes::Text, To::Trainer("secondary_separator", None)),
    key("enable_wildcard", Level::Subset, Takes::Bool, To::Trainer("wildcards", None)),
    key("caption_prefix", Level::Subset, Takes::Text, To::Trainer("caption_prefix", None)),
    key("caption_suffix", Level::Subset, Takes::Text, To::Trainer("caption_suffix", None)),
    key("caption_dropout_rate", Level::Subset, Takes::Number, To::Trainer("caption_dropout", None)),
    key(
        "caption_dropout_every_n_epochs",
        Level::Subset,
        Takes::Whole,
        To::Trainer("caption_dropout_every_epochs", None),
    ),
    key("caption_tag_dropout_rate", Level::Subset, Takes::Number, To::Trainer("tag_dropout", None)),
    key("token_warmup_min", Level::Subset, Takes::Whole, To::Trainer("token_warmup_min", None)),
    key("token_warmup_step", Level::Subset, Takes::Number, To::Trainer("token_warmup_step", None)),
    key("flip_aug", Level::Subset, Takes::Bool, To::Trainer("flip", None)),
    key("color_aug", Level::Subset, Takes::Bool, To::Trainer("color_jitter", None)),
    key("random_crop", Level::Subset, Takes::Bool, To::Trainer("random_crop", None)),
    key(
        "face_crop_aug_range",
        Level::Subset,
        Takes::Anything,
        To::Refused("null", "crop the images to their faces beforehand"),
    ),
    key("alpha_mask", Level::Subset, Takes::Bool, To::Import),
    key("class_tokens", Level::Subset, Takes::Text, To::Import),
    key("caption_extension", Level::Subset, Takes::Text, To::Import),
    key("cache_info", Level::Subset, Takes::Bool, To::Nothing),
    key("custom_attributes", Level::Subset, Takes::Anything, To::Nothing),
    key("image_dir", Level::Own, Takes::Text, To::Import),
    key("is_reg", Level::Own, Takes::Bool, To::Import),
    key("metadata_file", Level::Own, Takes::Text, To::Import),
    key("conditioning_data_dir", Level::Own, Takes::Text, To::Import),
];

impl Takes {
    pub(super) fn check(self, value: &Value) -> Result<()> {
        let whole = |v: &Value| v.as_u64().is_some_and(|n| n <= u64::from(u32::MAX));
        let (fits, wanted) = match self {
            Self::Bool => (value.is_boolean(), "true or false"),
            Self::Whole => (whole(value), "a whole number of 0 or more"),
            Self::Number => (value.is_number(), "a number"),
            Self::Text => (value.is_string(), "a text"),
            Self::Size => {
                let pair = value.as_array().is_some_and(|a| a.len() == 2 && a.iter().all(whole));
                (whole(value) || pair, "an edge in pixels, or width and height as [w, h]")
            }
            Self::Anything => (true, ""),
        };
        if fits { Ok(()) } else { bail!("expected {wanted}, found {value}") }
    }
}

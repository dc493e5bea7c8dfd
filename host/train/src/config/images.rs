//! What is done to pictures.

use super::{Problems, Section};
use serde::{Deserialize, Serialize};

/// What is done to pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageOptions {
    /// Edge of a square image in pixels; other shapes have about its area. Default: the base's own size.
    pub resolution: Option<u32>,
    /// Group images by shape instead of cropping all to a square. Default true.
    pub buckets: bool,
    /// Shortest edge of a bucket in pixels. Default: half the resolution.
    pub bucket_min: Option<u32>,
    /// Longest edge of a bucket in pixels. Default: twice the resolution.
    pub bucket_max: Option<u32>,
    /// Edges of buckets are multiples of this, in pixels. Default: what the base needs, 64 for full-size bases.
    pub bucket_step: Option<u32>,
    /// Never enlarge an image. Default false.
    pub bucket_no_upscale: bool,
    /// Mirror images at random. Default false: it mixes up left and right.
    pub flip: bool,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self {
            resolution: None,
            buckets: true,
            bucket_min: None,
            bucket_max: None,
            bucket_step: None,
            bucket_no_upscale: false,
            flip: false,
        }
    }
}

impl Section for ImageOptions {
    fn check(&self, problems: &mut Problems) {
        problems.at_least_one("resolution", self.resolution.unwrap_or(1).into());
    }
}

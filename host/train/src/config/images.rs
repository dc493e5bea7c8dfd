//! What is done to pictures.

use super::{Problems, Section};
use data::buckets::BucketStyle;
use serde::{Deserialize, Serialize};

/// What is done to pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageOptions {
    /// Edge of a square image in pixels, or width and height; other shapes have about that area. Default: the base's
    /// own size.
    pub resolution: Option<Resolution>,
    /// Several resolutions: every image is trained at each of them. Default: only `resolution`.
    pub resolutions: Vec<Resolution>,
    /// Group images by shape instead of cropping all to one. Default true.
    pub buckets: bool,
    /// Whose rule chooses the size of an image: `sd-scripts` or `ai-toolkit`. Default `sd-scripts`.
    pub bucket_style: BucketStyle,
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
    /// Crop what does not fit the bucket at random instead of around the centre. Default false.
    pub random_crop: bool,
    /// Change hue or brightness a little at random. Default false.
    pub color_jitter: bool,
    /// Versions of each image that are encoded for `random_crop` and `color_jitter`, the plain one among them; each
    /// step draws one. Default 4.
    pub variants: usize,
    /// Weight of the loss of regularisation images. Default 1.
    pub prior_loss_weight: f64,
}

impl Default for ImageOptions {
    fn default() -> Self {
        Self {
            resolution: None,
            resolutions: Vec::new(),
            buckets: true,
            bucket_style: BucketStyle::default(),
            bucket_min: None,
            bucket_max: None,
            bucket_step: None,
            bucket_no_upscale: false,
            flip: false,
            random_crop: false,
            color_jitter: false,
            variants: 4,
            prior_loss_weight: 1.0,
        }
    }
}

impl ImageOptions {
    /// The resolutions that each image is trained at, `own` being that of the base.
    pub fn resolutions(&self, own: u32) -> Vec<Resolution> {
        match (self.resolutions.as_slice(), self.resolution) {
            ([], None) => vec![Resolution::Square(own)],
            ([], Some(one)) => vec![one],
            (several, _) => several.to_vec(),
        }
    }

    /// Versions of each image that are encoded, without their mirror images.
    pub fn versions(&self) -> usize {
        if self.random_crop || self.color_jitter { self.variants } else { 1 }
    }
}

/// How large images are: the edge of a square one, or width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected an edge in pixels, such as 512, or width and height, such as [768, 512]")]
pub enum Resolution {
    Square(u32),
    Pair(u32, u32),
}

impl Resolution {
    /// Width and height in pixels.
    pub fn size(self) -> (u32, u32) {
        match self {
            Self::Square(edge) => (edge, edge),
            Self::Pair(width, height) => (width, height),
        }
    }
}

impl Section for ImageOptions {
    fn check(&self, problems: &mut Problems) {
        for size in self.resolution.iter().chain(&self.resolutions) {
            let (w, h) = size.size();
            problems.want(w > 0 && h > 0, format!("`resolution`: expected at least 1 pixel, found {w}×{h}"));
        }
        problems.want(
            self.resolution.is_none() || self.resolutions.is_empty(),
            "give `resolution` or `resolutions`, not both",
        );
        if self.random_crop || self.color_jitter {
            let n = self.variants;
            problems.want(
                (2..=64).contains(&n),
                format!("`variants`: `random_crop` and `color_jitter` need 2 to 64 versions of each image, found {n}"),
            );
        }
        problems.not_negative("prior_loss_weight", self.prior_loss_weight);
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use serde_json::json;

    #[test]
    fn a_resolution_is_an_edge_or_a_size() {
        let sizes = |keys| {
            let images = Config::default().with(keys).unwrap().images;
            images.resolutions(96).into_iter().map(|r| r.size()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(json!({})), [(96, 96)]);
        assert_eq!(sizes(json!({"resolution": [768, 512]})), [(768, 512)]);
        assert_eq!(sizes(json!({"resolutions": [1024, [768, 512]]})), [(1024, 1024), (768, 512)]);
        let wrong = |keys| format!("{:#}", Config::default().with(keys).unwrap_err());
        assert!(wrong(json!({"resolution": "big"})).contains("expected an edge"));
        assert!(wrong(json!({"resolution": 512, "resolutions": [768]})).contains("not both"));
        assert!(wrong(json!({"random_crop": true, "variants": 1})).contains("2 to 64"));
        assert!(wrong(json!({"bucket_style": "sdscripts"})).contains("ai-toolkit"));
    }
}

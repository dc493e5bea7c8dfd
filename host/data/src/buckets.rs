//! Which size each picture is trained at: aspect-ratio buckets as sd-scripts (`library/train_util.py`, `BucketManager`)
//! or ai-toolkit (`toolkit/buckets.py`) make them.
//!
//! Start at [`Buckets::assign`].

use crate::{Filter, Fit, Image, ImageError, Rect, ResizeSpec};
use serde::{Deserialize, Serialize};

/// Width and height in pixels.
pub type Size = (u32, u32);

/// Whose rule chooses the size of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BucketStyle {
    /// A list of sizes of about one area; the one of the nearest shape is taken.
    #[default]
    SdScripts,
    /// The picture's own shape at the area of the resolution, with each side cut to a multiple of the step; a picture
    /// is never enlarged by more than a step. Many more sizes than with the other rule.
    AiToolkit,
}

/// How sizes are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BucketConfig {
    /// Width and height of a square picture: their product is the area of every bucket.
    pub resolution: Size,
    /// Without buckets every picture is scaled and cropped to `resolution`.
    pub enabled: bool,
    /// Smallest and largest side, in pixels. Not used with `no_upscale`.
    pub min: u32,
    pub max: u32,
    /// Sides are multiples of this.
    pub step: u32,
    /// Small pictures keep their size, cut to a multiple of `step`.
    pub no_upscale: bool,
    pub style: BucketStyle,
}

impl Default for BucketConfig {
    fn default() -> Self {
        Self {
            resolution: (512, 512),
            enabled: true,
            min: 256,
            max: 1024,
            step: 64,
            no_upscale: false,
            style: BucketStyle::SdScripts,
        }
    }
}

/// What happens to a picture of some size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assignment {
    /// The size it is trained at.
    pub bucket: Size,
    /// The size it is scaled to first.
    pub resized: Size,
    /// What is kept of the scaled picture: its centre, of the bucket's size.
    pub crop: Rect,
    /// Aspect ratio of the bucket minus that of the picture.
    pub ar_error: f64,
    /// Left, top, right, bottom of the part of the bucket that the picture covers, for SDXL's size conditioning.
    pub crop_ltrb: [f64; 4],
}

impl Assignment {
    /// Scales and crops a picture: area when both sides shrink, else Lanczos.
    ///
    /// # Errors
    /// The sizes do not fit the picture.
    pub fn apply(&self, img: &Image) -> Result<Image, ImageError> {
        let (width, height) = self.resized;
        let shrinks = img.width >= width && img.height >= height;
        let filter = if shrinks { Filter::Area } else { Filter::Lanczos3 };
        img.resize(&ResizeSpec { width, height, fit: Fit::Stretch, filter, pad_color: 0 })?.crop(self.crop)
    }
}

/// The sizes pictures are trained at.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    config: BucketConfig,
    predefined: Vec<Size>,
}

impl Buckets {
    /// Makes the list of sizes.
    ///
    /// # Errors
    /// Zero sides or step, or a resolution outside min … max.
    pub fn new(config: BucketConfig) -> Result<Self, String> {
        let (w, h) = config.resolution;
        if w == 0 || h == 0 || config.step == 0 {
            return Err(format!(
                "expected a resolution and a bucket step above zero, found {w}×{h} and {}",
                config.step
            ));
        }
        let listed = config.enabled && config.style == BucketStyle::SdScripts;
        if listed && !config.no_upscale && (config.max < config.min || config.max < w.max(h)) {
            return Err(format!(
                "expected bucket sides up to {} (the resolution's larger side) or more, found {} to {}",
                w.max(h),
                config.min,
                config.max
            ));
        }
        let predefined = if listed { resolutions(&config) } else { vec![config.resolution] };
        Ok(Self { config, predefined })
    }

    /// All sizes that may be chosen, sorted. With `no_upscale` or ai-toolkit's rule others occur.
    pub fn predefined(&self) -> &[Size] {
        &self.predefined
    }

    /// The bucket of a picture. Deviation from sd-scripts: with `no_upscale` a side shorter than the step is scaled up
    /// to the step instead of failing.
    pub fn assign(&self, width: u32, height: u32) -> Assignment {
        let (width, height) = (width.max(1), height.max(1));
        let (bucket, resized) = match self.config.style {
            _ if !self.config.enabled => self.with_upscaling(width, height),
            BucketStyle::AiToolkit => self.own_shape(width, height),
            BucketStyle::SdScripts if self.config.no_upscale => self.without_upscaling(width, height),
            BucketStyle::SdScripts => self.with_upscaling(width, height),
        };
        let crop =
            Rect { x: (resized.0 - bucket.0) / 2, y: (resized.1 - bucket.1) / 2, width: bucket.0, height: bucket.1 };
        let ar_error = aspect(bucket) - aspect((width, height));
        Assignment { bucket, resized, crop, ar_error, crop_ltrb: crop_ltrb(bucket, (width, height)) }
    }

    fn with_upscaling(&self, width: u32, height: u32) -> (Size, Size) {
        let ratio = aspect((width, height));
        let exact = self.predefined.iter().find(|b| **b == (width, height));
        // The first of equals wins.
        let nearest = || {
            let distance = |b: &Size| (aspect(*b) - ratio).abs();
            self.predefined.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        let bucket = exact.or_else(nearest).copied().unwrap_or(self.config.resolution);
        (bucket, covering(bucket, (width, height)))
    }

    /// ai-toolkit's rule: of the four sizes around the picture's own shape those up to the resolution's area; of these
    /// the first whose area is nearest to the wanted one. The picture is scaled to cover it, rounded up.
    fn own_shape(&self, width: u32, height: u32) -> (Size, Size) {
        let limit = f64::from(self.config.resolution.0) * f64::from(self.config.resolution.1);
        let own = f64::from(width) * f64::from(height);
        let wanted = own.min(limit);
        let scale = (wanted / own).sqrt();
        let step = self.config.step;
        let around = |side: u32| {
            let steps = f64::from(side) * scale / f64::from(step);
            [steps.floor() as u32 * step, steps.ceil() as u32 * step]
        };
        let area = |s: &Size| f64::from(s.0) * f64::from(s.1);
        let off = |s: &Size| (area(s) - wanted).abs();
        let sizes = around(width).into_iter().flat_map(|w| around(height).map(|h| (w, h)));
        let fitting = sizes.filter(|s| s.0 > 0 && s.1 > 0 && area(s) <= limit);
        let best = fitting.min_by(|a, b| off(a).total_cmp(&off(b)));
        let bucket = best.unwrap_or_else(|| (around(width)[0].max(step), around(height)[0].max(step)));
        let (w, h) = (f64::from(width), f64::from(height));
        let scale = (f64::from(bucket.0) / w).max(f64::from(bucket.1) / h);
        let side = |n: f64, least: u32| ((n * scale).ceil() as u32).max(least);
        (bucket, (side(w, bucket.0), side(h, bucket.1)))
    }

    fn without_upscaling(&self, width: u32, height: u32) -> (Size, Size) {
        let area = f64::from(self.config.resolution.0) * f64::from(self.config.resolution.1);
        let ratio = aspect((width, height));
        let step = self.config.step;
        let round = |x: f64| {
            let n = (x + 0.5) as u32;
            n - n % step
        };
        let mut resized = (width, height);
        if f64::from(width) * f64::from(height) > area {
            let ideal_width = (area * ratio).sqrt();
            let ideal_height = area / ideal_width;
            let w = round(ideal_width);
            let h_of_w = round(f64::from(w) / ratio);
            let h = round(ideal_height);
            let w_of_h = round(f64::from(h) * ratio);
            let error = |w: u32, h: u32| (f64::from(w) / f64::from(h) - ratio).abs();
            resized = if error(w, h_of_w) < error(w_of_h, h) {
                (w, (f64::from(w) / ratio + 0.5) as u32)
            } else {
                ((f64::from(h) * ratio + 0.5) as u32, h)
            };
        }
        let grow = (f64::from(step) / f64::from(resized.0.min(resized.1).max(1))).max(1.0);
        let side = |n: u32| if grow > 1.0 { ((f64::from(n) * grow + 0.5) as u32).max(step) } else { n };
        let resized = (side(resized.0), side(resized.1));
        ((resized.0 - resized.0 % step, resized.1 - resized.1 % step), resized)
    }
}

/// The size to which a picture is scaled so that it covers a bucket in both directions.
fn covering(bucket: Size, (width, height): Size) -> Size {
    let scale = if aspect((width, height)) > aspect(bucket) {
        f64::from(bucket.1) / f64::from(height)
    } else {
        f64::from(bucket.0) / f64::from(width)
    };
    let side = |n: u32| (f64::from(n) * scale + 0.5) as u32;
    (side(width).max(bucket.0), side(height).max(bucket.1))
}

fn aspect((w, h): Size) -> f64 {
    f64::from(w) / f64::from(h)
}

/// sd-scripts' `make_bucket_resolutions`.
fn resolutions(config: &BucketConfig) -> Vec<Size> {
    let area = u64::from(config.resolution.0) * u64::from(config.resolution.1);
    let step = u64::from(config.step);
    let square = ((area as f64).sqrt() / step as f64).floor() as u64 * step;
    let (min, max) = (u64::from(config.min.max(1)), u64::from(config.max));
    let mut sizes = std::collections::BTreeSet::new();
    if square > 0 {
        sizes.insert((square as u32, square as u32));
    }
    for width in (min..=max).step_by(config.step as usize) {
        let height = max.min(area / width / step * step);
        if height >= min && height > 0 {
            sizes.insert((width as u32, height as u32));
            sizes.insert((height as u32, width as u32));
        }
    }
    sizes.into_iter().collect()
}

fn crop_ltrb(bucket: Size, image: Size) -> [f64; 4] {
    let (w, h) = (f64::from(bucket.0), f64::from(bucket.1));
    let ratio = aspect(image);
    let (rw, rh) = if aspect(bucket) > ratio { (h * ratio, h) } else { (w, w / ratio) };
    let left = ((w - rw) / 2.0).floor();
    let top = ((h - rh) / 2.0).floor();
    [left, top, left + rw, top + rh]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{reference, reference_json};

    fn size(v: &serde_json::Value) -> Size {
        (v[0].as_u64().unwrap() as u32, v[1].as_u64().unwrap() as u32)
    }

    fn number(v: &serde_json::Value) -> u32 {
        v.as_u64().unwrap() as u32
    }

    #[test]
    fn equals_the_reference() {
        for case in reference_json("dataset/buckets.json").as_array().unwrap() {
            let c = &case["config"];
            let buckets = Buckets::new(BucketConfig {
                resolution: size(&c["reso"]),
                enabled: true,
                min: number(&c["min"]),
                max: number(&c["max"]),
                step: number(&c["step"]),
                no_upscale: c["no_upscale"].as_bool().unwrap(),
                style: BucketStyle::SdScripts,
            })
            .unwrap();
            // Without upscaling sizes follow from the pictures, and the reference lists none.
            if let Some(predefined) = case["predefined"].as_array() {
                let predefined: Vec<Size> = predefined.iter().map(size).collect();
                assert_eq!(buckets.predefined(), predefined, "{c}");
            }
            let mut used = std::collections::BTreeSet::new();
            for image in case["images"].as_array().unwrap() {
                let (w, h) = size(&image["size"]);
                let got = buckets.assign(w, h);
                used.insert(got.bucket);
                assert_eq!(got.bucket, size(&image["bucket"]), "{c} {w}×{h}");
                assert_eq!(got.resized, size(&image["resized"]), "{c} {w}×{h}");
                assert_eq!(got.ar_error, image["ar_error"].as_f64().unwrap(), "{c} {w}×{h}");
                let ltrb = image["crop_ltrb"].as_array().unwrap();
                let ltrb: Vec<f64> = ltrb.iter().map(|v| v.as_f64().unwrap()).collect();
                assert_eq!(got.crop_ltrb.to_vec(), ltrb, "{c} {w}×{h}");
            }
            let listed: Vec<Size> = case["used_sorted"].as_array().unwrap().iter().map(size).collect();
            assert_eq!(used.into_iter().collect::<Vec<_>>(), listed, "{c}");
        }
    }

    /// What ai-toolkit's `get_bucket_for_image_size` gives: resolution, step, picture, bucket, scaled size.
    const AI_TOOLKIT: [(u32, u32, Size, Size, Size); 14] = [
        (1024, 64, (1920, 1080), (1344, 768), (1366, 768)),
        (1024, 64, (1080, 1920), (768, 1344), (768, 1366)),
        (1024, 64, (1024, 1024), (1024, 1024), (1024, 1024)),
        (1024, 64, (3000, 3000), (1024, 1024), (1024, 1024)),
        (1024, 64, (640, 448), (640, 448), (640, 448)),
        (768, 64, (640, 448), (640, 448), (640, 448)),
        (1024, 64, (30, 20), (64, 64), (96, 64)),
        (768, 64, (700, 701), (704, 704), (704, 706)),
        (768, 64, (1999, 300), (1984, 256), (1984, 298)),
        (768, 64, (65, 129), (64, 128), (65, 128)),
        (512, 32, (5000, 4000), (544, 480), (600, 480)),
        (1024, 16, (1037, 533), (1040, 528), (1040, 535)),
        (768, 64, (101, 1777), (128, 1728), (128, 2253)),
        (512, 8, (333, 777), (328, 784), (336, 784)),
    ];

    #[test]
    fn ai_toolkits_sizes() {
        for (edge, step, (w, h), bucket, resized) in AI_TOOLKIT {
            let style = BucketStyle::AiToolkit;
            let config = BucketConfig { resolution: (edge, edge), step, style, ..BucketConfig::default() };
            let got = Buckets::new(config).unwrap().assign(w, h);
            assert_eq!((got.bucket, got.resized), (bucket, resized), "{w}×{h} at {edge} by {step}");
        }
    }

    #[test]
    fn epochs_count_as_the_reference_does() {
        for case in reference_json("dataset/epoch_order.json").as_array().unwrap() {
            let repeats = &case["effective_repeats"];
            let wanted = case["buckets"].as_array().unwrap();
            let buckets = Buckets::new(BucketConfig::default()).unwrap();
            let mut counts = std::collections::BTreeMap::new();
            for (folder, f) in case["folders"].as_object().unwrap() {
                for image in f["images"].as_array().unwrap() {
                    let (w, h) = size(&image["size"]);
                    let name = format!("{folder}/{}", image["file"].as_str().unwrap());
                    *counts.entry(buckets.assign(w, h).bucket).or_insert(0) += repeats[name].as_u64().unwrap();
                }
            }
            let got: Vec<(Size, u64)> = counts.into_iter().collect();
            let wanted: Vec<(Size, u64)> =
                wanted.iter().map(|b| (size(&b["resolution"]), b["count"].as_u64().unwrap())).collect();
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn pictures_are_scaled_and_cropped_as_in_the_reference() {
        let file = reference("dataset/resize.safetensors");
        let input = file.image("input");
        let names: Vec<String> =
            file.names().iter().filter_map(|n| n.strip_suffix(".resized")).map(str::to_owned).collect();
        assert!(!names.is_empty());
        for name in names {
            let name = name.as_str();
            let wanted = file.image(name);
            let resized = file.integers(&format!("{name}.resized"));
            let resized = (resized[0] as u32, resized[1] as u32);
            let (w, h) = (wanted.width, wanted.height);
            let crop = Rect { x: (resized.0 - w) / 2, y: (resized.1 - h) / 2, width: w, height: h };
            let ltrb = crop_ltrb((w, h), (input.width, input.height));
            assert_eq!(ltrb.to_vec(), file.floats(&format!("{name}.crop_ltrb")), "{name}");
            let assignment = Assignment { bucket: (w, h), resized, crop, ar_error: 0.0, crop_ltrb: ltrb };
            let got = assignment.apply(&input).unwrap();
            // Area sums floats in another order than OpenCV's vector code, so a tie may round the other way.
            let worst = got.pixels.iter().zip(wanted.pixels.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= 1, "{name}: {worst}");
        }
    }

    #[test]
    fn tiny_pictures_and_bad_configs() {
        let config = BucketConfig { no_upscale: true, ..BucketConfig::default() };
        assert_eq!(Buckets::new(config).unwrap().assign(10, 30).bucket, (64, 192));
        assert!(Buckets::new(BucketConfig { step: 0, ..BucketConfig::default() }).is_err());
        assert!(Buckets::new(BucketConfig { max: 300, ..BucketConfig::default() }).is_err());
        let off = BucketConfig { enabled: false, resolution: (96, 96), ..BucketConfig::default() };
        assert_eq!(Buckets::new(off).unwrap().assign(128, 64).resized, (192, 96));
    }
}

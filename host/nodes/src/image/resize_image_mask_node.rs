use super::image_scale::size;
use super::pictures::Pictures;
use super::resize::{longer_side, scaled, shorter_side, way};
use anyhow::Result;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::{Branches, Inputs};

/// Changes the size of pictures or of a mask, by any of nine rules.
#[derive(Inputs)]
pub(crate) struct ResizeImageMaskNode {
    /// The pictures or the mask.
    input: Pictures,
    /// The rule.
    #[input(branches)]
    resize_type: Rule,
    /// How neighbouring pixels are mixed.
    #[input(default = "area", options = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])]
    scale_method: String,
}

const CROPS: [&str; 2] = ["disabled", "center"];

#[derive(Branches)]
enum Rule {
    #[input(name = "scale dimensions")]
    Dimensions {
        /// New width in pixels; 0 keeps the shape.
        #[input(default = 512, range = 0..=16384)]
        width: u32,
        /// New height in pixels; 0 keeps the shape.
        #[input(default = 512, range = 0..=16384)]
        height: u32,
        /// Cut off what does not fit the new shape, instead of stretching.
        #[input(default = "center", options = CROPS)]
        crop: String,
    },
    #[input(name = "scale by multiplier")]
    By {
        /// What both sides are multiplied by.
        #[input(default = 1.0, range = 0.01..=8.0, step = 0.01)]
        multiplier: f64,
    },
    #[input(name = "scale longer dimension")]
    Longer {
        /// The longer side, in pixels.
        #[input(default = 512, range = 0..=16384)]
        longer_size: u32,
    },
    #[input(name = "scale shorter dimension")]
    Shorter {
        /// The shorter side, in pixels.
        #[input(default = 512, range = 0..=16384)]
        shorter_size: u32,
    },
    #[input(name = "scale width")]
    Width {
        /// New width in pixels; the height follows.
        #[input(default = 512, range = 0..=16384)]
        width: u32,
    },
    #[input(name = "scale height")]
    Height {
        /// New height in pixels; the width follows.
        #[input(default = 512, range = 0..=16384)]
        height: u32,
    },
    #[input(name = "scale total pixels")]
    Total {
        /// The area, in units of 1024×1024 pixels.
        #[input(default = 1.0, range = 0.01..=16.0, step = 0.01)]
        megapixels: f64,
    },
    #[input(name = "match size")]
    Match {
        /// Pictures or a mask of the size that is wanted.
        r#match: Pictures,
        /// Cut off what does not fit the new shape, instead of stretching.
        #[input(default = "center", options = CROPS)]
        crop: String,
    },
    #[input(name = "scale to multiple")]
    Multiple {
        /// Both sides become multiples of this, by covering the new size and cutting off the rest.
        #[input(default = 8, range = 1..=16384)]
        multiple: u32,
    },
}

impl TypedNode for ResizeImageMaskNode {
    const ID: &'static str = "ResizeImageMaskNode";
    const CATEGORY: &'static str = "image/transform";
    const DISPLAY_NAME: &'static str = "Resize Image/Mask";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["resized"];
    type Output = Pictures;

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let way = way(&self.scale_method)?;
        let wanted = match &self.resize_type {
            Rule::Match { r#match, .. } => r#match.size()?,
            _ => (0, 0),
        };
        self.input.each(|x| {
            ctx.check_cancelled()?;
            let (_, _, h, w) = x.dims4()?;
            let side = |n: &u32| *n as usize;
            let new = match &self.resize_type {
                Rule::Dimensions { width, height, .. } => size((w, h), side(width), side(height)),
                Rule::By { multiplier } => Some(scaled(w, h, *multiplier)),
                Rule::Longer { longer_size } => Some(longer_side((w, h), side(longer_size))),
                Rule::Shorter { shorter_size } => Some(shorter_side((w, h), side(shorter_size))),
                Rule::Width { width } => size((w, h), side(width), 0),
                Rule::Height { height } => size((w, h), 0, side(height)),
                Rule::Total { megapixels } => {
                    let area = (megapixels * 1024.0 * 1024.0).trunc();
                    Some(scaled(w, h, (area / (w * h) as f64).sqrt()))
                }
                Rule::Match { .. } => Some(wanted),
                Rule::Multiple { multiple } => {
                    let Some((covering, kept)) = multiples((w, h), side(multiple)) else { return Ok(x) };
                    return middle(&way.resize(&x, covering.1, covering.0, false)?, kept);
                }
            };
            let crop = match &self.resize_type {
                Rule::Dimensions { crop, .. } | Rule::Match { crop, .. } => crop == "center",
                _ => false,
            };
            match new {
                None => Ok(x),
                Some((width, height)) => way.resize(&x, height, width, crop),
            }
        })
    }
}

/// The largest size of multiples that fits into (w, h), and the size in the shape of (w, h) that covers it. None if nothing
/// is to be done, or nothing would be left.
fn multiples((w, h): (usize, usize), multiple: usize) -> Option<((usize, usize), (usize, usize))> {
    let (width, height) = (w / multiple * multiple, h / multiple * multiple);
    if width == 0 || height == 0 || (width, height) == (w, h) {
        return None;
    }
    let (across, down) = (width as f64 / w as f64, height as f64 / h as f64);
    let covering = if across >= down {
        (width, ((h as f64 * across).ceil() as usize).max(height))
    } else {
        (((w as f64 * down).ceil() as usize).max(width), height)
    };
    Some((covering, (width, height)))
}

fn middle(x: &Tensor, (width, height): (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    Ok(x.narrow(2, (h - height) / 2, height)?.narrow(3, (w - width) / 2, width)?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{host, output, run, value};
    use crate::types::{ImageBatch, Mask};
    use candle_core::Device;
    use data::{Image, PixelFormat};
    use spec::Value;
    use std::sync::Arc;

    #[test]
    fn multiples_fit_inside_and_are_covered() {
        assert_eq!(multiples((64, 32), 8), None);
        assert_eq!(multiples((7, 32), 8), None);
        assert_eq!(multiples((70, 33), 8), Some(((68, 32), (64, 32))));
        assert_eq!(multiples((33, 70), 8), Some(((32, 68), (32, 64))));
        assert_eq!(multiples((100, 100), 64), Some(((64, 64), (64, 64))));
    }

    /// The size that a rule gives 6 × 4 pixels, as a picture and as a mask.
    fn sized(rule: &'static str, more: Vec<(&'static str, Value)>) -> (usize, usize) {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let bytes: Vec<u8> = (0..72).collect();
        let picture = Arc::new(ImageBatch::new(vec![Image::new(6, 4, PixelFormat::Rgb8, bytes).unwrap()]));
        let mask = Arc::new(Mask(Tensor::rand(0f32, 1.0, (2, 4, 6), &Device::Cpu).unwrap()));
        let sizes = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"].map(|method| {
            let resized = |input: Value| {
                let mut inputs = vec![("input", input), ("resize_type", rule.into()), ("scale_method", method.into())];
                inputs.extend(more.clone());
                run(&ctx, "ResizeImageMaskNode", inputs).unwrap()
            };
            let shown = output::<ImageBatch>(&resized(value(&picture)), 0).images()[0].clone();
            let masked = output::<Mask>(&resized(value(&mask)), 0).0.dims().to_vec();
            assert_eq!(masked, [2, shown.height as usize, shown.width as usize], "{method}");
            (shown.width as usize, shown.height as usize)
        });
        assert!(sizes.iter().all(|s| *s == sizes[0]));
        sizes[0]
    }

    #[test]
    fn every_rule_gives_its_size() {
        let set = |name: &'static str, n: f64| vec![(name, n.into())];
        assert_eq!(sized("scale by multiplier", set("resize_type.multiplier", 1.5)), (9, 6));
        assert_eq!(sized("scale longer dimension", set("resize_type.longer_size", 12.0)), (12, 8));
        assert_eq!(sized("scale shorter dimension", set("resize_type.shorter_size", 2.0)), (3, 2));
        assert_eq!(sized("scale width", set("resize_type.width", 3.0)), (3, 2));
        assert_eq!(sized("scale height", set("resize_type.height", 8.0)), (12, 8));
        assert_eq!(sized("scale width", set("resize_type.width", 0.0)), (6, 4));
        assert_eq!(sized("scale to multiple", set("resize_type.multiple", 4.0)), (4, 4));
        assert_eq!(sized("scale total pixels", set("resize_type.megapixels", 0.01)), (125, 84));
        let both = vec![("resize_type.width", 5.into()), ("resize_type.height", 5.into())];
        assert_eq!(sized("scale dimensions", both), (5, 5));
        let like = Arc::new(Mask(Tensor::zeros((1, 2, 9), candle_core::DType::F32, &Device::Cpu).unwrap()));
        assert_eq!(sized("match size", vec![("resize_type.match", value(&like))]), (9, 2));
    }

    #[test]
    fn the_centre_stays_unless_it_is_stretched() {
        let dir = tempfile::tempdir().unwrap();
        let ctx = host(dir.path());
        let mask = Tensor::new(&[[[0f32, 1.0, 2.0, 3.0]]], &Device::Cpu).unwrap();
        let narrow = |crop: &'static str| {
            let inputs = vec![
                ("input", value(&Arc::new(Mask(mask.clone())))),
                ("resize_type", "scale dimensions".into()),
                ("resize_type.width", 2.into()),
                ("resize_type.height", 1.into()),
                ("resize_type.crop", crop.into()),
            ];
            let outputs = run(&ctx, "ResizeImageMaskNode", inputs).unwrap();
            output::<Mask>(&outputs, 0).0.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(narrow("center"), [1.0, 2.0]);
        assert_eq!(narrow("disabled"), [0.5, 2.5]);
    }
}

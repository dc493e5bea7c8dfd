use crate::types::ImageBatch;
use anyhow::{Result, bail};
use data::{Filter, Fit, Image, ResizeSpec};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Changes the size of pictures.
#[derive(Inputs)]
pub(crate) struct ImageScale {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How neighbouring pixels are mixed.
    #[input(default = "lanczos", options = METHODS.iter().map(|m| m.0))]
    upscale_method: String,
    /// New width in pixels; 0 keeps the shape.
    #[input(default = 512, range = 0..=16384)]
    width: u32,
    /// New height in pixels; 0 keeps the shape.
    #[input(default = 512, range = 0..=16384)]
    height: u32,
    /// Cut off what does not fit the new shape, instead of stretching.
    #[input(default = "disabled", options = ["disabled", "center"])]
    crop: String,
}

const METHODS: [(&str, Filter); 5] = [
    ("nearest-exact", Filter::Nearest),
    ("bilinear", Filter::Triangle),
    ("area", Filter::Area),
    ("bicubic", Filter::CatmullRom),
    ("lanczos", Filter::Lanczos3),
];

impl TypedNode for ImageScale {
    const ID: &'static str = "ImageScale";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Upscale Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let Some((_, filter)) = METHODS.iter().find(|m| m.0 == self.upscale_method) else {
            bail!("unknown method `{}`", self.upscale_method);
        };
        let fit = if self.crop == "center" { Fit::Cover } else { Fit::Stretch };
        let resized = self.image.0.iter().map(|image| {
            ctx.check_cancelled()?;
            let Some((width, height)) = size(image, self.width, self.height) else { return Ok(image.clone()) };
            Ok(image.resize(&ResizeSpec { width, height, fit, filter: *filter, pad_color: 0 })?)
        });
        Ok(Arc::new(ImageBatch(resized.collect::<Result<_>>()?)))
    }
}

/// The new size; a side of 0 follows from the other. None if both are.
fn size(image: &Image, width: u32, height: u32) -> Option<(u32, u32)> {
    let follow = |n: u32, of: u32, to: u32| ((f64::from(n) * f64::from(to) / f64::from(of)).round() as u32).max(1);
    match (width, height) {
        (0, 0) => None,
        (0, h) => Some((follow(image.width, image.height, h), h)),
        (w, 0) => Some((w, follow(image.height, image.width, w))),
        both => Some(both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::PixelFormat;

    #[test]
    fn a_side_of_zero_keeps_the_shape() {
        let image = Image::new(4, 2, PixelFormat::L8, vec![0; 8]).unwrap();
        assert_eq!(size(&image, 0, 0), None);
        assert_eq!(size(&image, 0, 3), Some((6, 3)));
        assert_eq!(size(&image, 6, 0), Some((6, 3)));
        assert_eq!(size(&image, 5, 5), Some((5, 5)));
    }
}

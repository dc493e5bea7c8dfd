use super::resize::{longer_side, resize_each};
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Brings the longer side of pictures to a length, keeping their shape.
#[derive(Inputs)]
pub(crate) struct ImageScaleToMaxDimension {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How neighbouring pixels are mixed.
    #[input(default = "area", options = ["area", "lanczos", "bilinear", "nearest-exact", "bicubic"])]
    upscale_method: String,
    /// The longer side, in pixels.
    #[input(default = 512, range = 0..=16384)]
    largest_size: u32,
}

impl TypedNode for ImageScaleToMaxDimension {
    const ID: &'static str = "ImageScaleToMaxDimension";
    const CATEGORY: &'static str = "image/upscaling";
    const DISPLAY_NAME: &'static str = "Scale Image to Max Dimension";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        resize_each(ctx, &self.image, &self.upscale_method, false, |w, h| {
            Some(longer_side((w, h), self.largest_size as usize))
        })
    }
}

use super::resize::{resize_each, scaled, way_names};
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Brings pictures to an area, keeping their shape.
#[derive(Inputs)]
pub(crate) struct ImageScaleToTotalPixels {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How neighbouring pixels are mixed.
    #[input(default = "nearest-exact", options = way_names())]
    upscale_method: String,
    /// The area, in units of 1024×1024 pixels.
    #[input(default = 1.0, range = 0.01..=16.0, step = 0.01)]
    megapixels: f64,
}

impl TypedNode for ImageScaleToTotalPixels {
    const ID: &'static str = "ImageScaleToTotalPixels";
    const CATEGORY: &'static str = "image/upscaling";
    const DISPLAY_NAME: &'static str = "Scale Image to Total Pixels";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        resize_each(ctx, &self.image, &self.upscale_method, false, |w, h| {
            let factor = (self.megapixels * 1024.0 * 1024.0 / (w * h) as f64).sqrt();
            Some(scaled(w, h, factor))
        })
    }
}

use super::resize::{resize_each, scaled, way_names};
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Makes pictures larger or smaller by a factor.
#[derive(Inputs)]
pub(crate) struct ImageScaleBy {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How neighbouring pixels are mixed.
    #[input(default = "nearest-exact", options = way_names())]
    upscale_method: String,
    /// Factor of both sides.
    #[input(default = 1.0, range = 0.01..=8.0, step = 0.01)]
    scale_by: f64,
}

impl TypedNode for ImageScaleBy {
    const ID: &'static str = "ImageScaleBy";
    const CATEGORY: &'static str = "image/upscaling";
    const DISPLAY_NAME: &'static str = "Upscale Image By";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        resize_each(ctx, &self.image, &self.upscale_method, false, |w, h| Some(scaled(w, h, self.scale_by)))
    }
}

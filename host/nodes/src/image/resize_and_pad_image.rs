use super::resize::{bordered, way};
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Brings pictures to a size without changing their shape; what stays free gets a colour.
#[derive(Inputs)]
pub(crate) struct ResizeAndPadImage {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// New width in pixels.
    #[input(default = 512, range = 1..=16384)]
    target_width: u32,
    /// New height in pixels.
    #[input(default = 512, range = 1..=16384)]
    target_height: u32,
    /// Colour of the borders.
    #[input(default = "white", options = ["white", "black"])]
    padding_color: String,
    /// How neighbouring pixels are mixed.
    #[input(default = "area", options = ["area", "bicubic", "nearest-exact", "bilinear", "lanczos"])]
    interpolation: String,
}

impl TypedNode for ResizeAndPadImage {
    const ID: &'static str = "ResizeAndPadImage";
    const CATEGORY: &'static str = "image/transform";
    const DISPLAY_NAME: &'static str = "Resize And Pad Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let way = way(&self.interpolation)?;
        let (width, height) = (self.target_width as usize, self.target_height as usize);
        let colour = if self.padding_color == "white" { 1.0 } else { 0.0 };
        let padded = self.image.each(|picture| {
            ctx.check_cancelled()?;
            let (_, _, h, w) = picture.dims4()?;
            let factor = (width as f64 / w as f64).min(height as f64 / h as f64);
            let (new_w, new_h) = ((w as f64 * factor) as usize, (h as f64 * factor) as usize);
            let (left, top) = ((width - new_w) / 2, (height - new_h) / 2);
            let inner = way.resize(&picture, new_h, new_w, false)?;
            bordered(&inner, (top, height - new_h - top), (left, width - new_w - left), colour)
        });
        padded.map(Arc::new)
    }
}

use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Cuts a rectangle out of pictures.
#[derive(Inputs)]
pub(crate) struct ImageCrop {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// Width of the rectangle in pixels, unless the picture ends before.
    #[input(default = 512, range = 1..=16384)]
    width: u32,
    /// Its height.
    #[input(default = 512, range = 1..=16384)]
    height: u32,
    /// Its left edge.
    #[input(default = 0, range = 0..=16384)]
    x: u32,
    /// Its upper edge.
    #[input(default = 0, range = 0..=16384)]
    y: u32,
}

impl TypedNode for ImageCrop {
    const ID: &'static str = "ImageCrop";
    const CATEGORY: &'static str = "image/transform";
    const DISPLAY_NAME: &'static str = "Crop Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let cropped = self.image.each(|picture| {
            let (_, _, h, w) = picture.dims4()?;
            let (x, y) = ((self.x as usize).min(w - 1), (self.y as usize).min(h - 1));
            let (width, height) = ((self.width as usize).min(w - x), (self.height as usize).min(h - y));
            Ok(picture.narrow(2, y, height)?.narrow(3, x, width)?.contiguous()?)
        });
        cropped.map(Arc::new)
    }
}

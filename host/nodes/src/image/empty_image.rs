use crate::types::ImageBatch;
use data::{Image, PixelFormat};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Pictures of one colour.
#[derive(Inputs)]
pub(crate) struct EmptyImage {
    /// Width in pixels.
    #[input(default = 512, range = 1..=16384)]
    width: u32,
    /// Height in pixels.
    #[input(default = 512, range = 1..=16384)]
    height: u32,
    /// How many.
    #[input(default = 1, range = 1..=4096)]
    batch_size: u32,
    /// The colour: red · 65536 + green · 256 + blue.
    #[input(default = 0, range = 0..=0xff_ffff)]
    color: u32,
}

impl TypedNode for EmptyImage {
    const ID: &'static str = "EmptyImage";
    const CATEGORY: &'static str = "image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let [_, red, green, blue] = self.color.to_be_bytes();
        let pixels = [red, green, blue].repeat(self.width as usize * self.height as usize);
        let image = Image::new(self.width, self.height, PixelFormat::Rgb8, pixels)?;
        Ok(Arc::new(ImageBatch::new(vec![image; self.batch_size as usize])))
    }
}

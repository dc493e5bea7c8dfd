use crate::types::ImageBatch;
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Says how large pictures are, and how many.
#[derive(Inputs)]
pub(crate) struct GetImageSize {
    /// The pictures; of several sizes, that of the first.
    image: Arc<ImageBatch>,
}

impl TypedNode for GetImageSize {
    const ID: &'static str = "GetImageSize";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Get Image Size";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["width", "height", "batch_size"];
    type Output = (u32, u32, usize);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let Some(first) = self.image.images().first() else { bail!("no pictures") };
        Ok((first.width, first.height, self.image.images().len()))
    }
}

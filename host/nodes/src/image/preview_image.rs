use crate::types::ImageBatch;
use data::Codec;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Shows pictures to whoever watches the run, without saving them.
#[derive(Inputs)]
pub(crate) struct PreviewImage {
    /// The pictures.
    images: Arc<ImageBatch>,
}

impl TypedNode for PreviewImage {
    const ID: &'static str = "PreviewImage";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Preview Image";
    const OUTPUT_NODE: bool = true;
    const STRICT: bool = false;
    type Output = ();

    fn run(self, ctx: &Context) -> anyhow::Result<()> {
        for image in self.images.images() {
            ctx.preview(image.encode(Codec::Png, 100)?);
        }
        Ok(())
    }
}

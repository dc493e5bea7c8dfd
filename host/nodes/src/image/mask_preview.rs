use super::preview_image::PreviewImage;
use crate::types::{ImageBatch, Mask};
use candle_core::Tensor;
use engine::{Context, Outputs, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Shows a mask to whoever watches the run, as a grey picture.
#[derive(Inputs)]
pub(crate) struct MaskPreview {
    /// The mask.
    mask: Arc<Mask>,
}

impl TypedNode for MaskPreview {
    const ID: &'static str = "MaskPreview";
    const CATEGORY: &'static str = "mask";
    const DISPLAY_NAME: &'static str = "Preview Mask";
    const OUTPUT_NODE: bool = true;
    const STRICT: bool = false;
    type Output = <PreviewImage as TypedNode>::Output;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        PreviewImage::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let planes = self.mask.0.chunk(self.mask.0.dim(0)?, 0)?;
        let grey = planes.iter().map(|plane| Tensor::cat(&[plane, plane, plane], 0));
        let images = ImageBatch::from_pixels(grey.collect::<candle_core::Result<_>>()?)?;
        PreviewImage { images: Arc::new(images) }.run(ctx)
    }
}

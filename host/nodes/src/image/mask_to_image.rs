use crate::types::{ImageBatch, Mask};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Shows a mask as grey pictures.
#[derive(Inputs)]
pub(crate) struct MaskToImage {
    /// The mask.
    mask: Arc<Mask>,
}

impl TypedNode for MaskToImage {
    const ID: &'static str = "MaskToImage";
    const CATEGORY: &'static str = "mask";
    const DISPLAY_NAME: &'static str = "Convert Mask to Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (b, h, w) = self.mask.0.dims3()?;
        let grey = |i: usize| anyhow::Ok(self.mask.0.get(i)?.broadcast_as((3, h, w))?.contiguous()?);
        Ok(Arc::new(ImageBatch::from_pixels((0..b).map(grey).collect::<anyhow::Result<_>>()?)?))
    }
}

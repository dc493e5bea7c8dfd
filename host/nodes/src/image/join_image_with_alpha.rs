use crate::types::{ImageBatch, Mask};
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Makes pictures transparent where a mask is white.
#[derive(Inputs)]
pub(crate) struct JoinImageWithAlpha {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// What becomes transparent, one for each picture.
    alpha: Arc<Mask>,
}

impl TypedNode for JoinImageWithAlpha {
    const ID: &'static str = "JoinImageWithAlpha";
    const CATEGORY: &'static str = "mask/compositing";
    const DISPLAY_NAME: &'static str = "Join Image with Alpha";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    /// As many as there are of both.
    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (pixels, masks) = (self.image.pixels()?, &self.alpha.0);
        let mut joined = Vec::with_capacity(pixels.len());
        for (i, picture) in pixels.iter().enumerate().take(masks.dim(0)?) {
            let (_, h, w) = picture.dims3()?;
            let mask = models::interpolation("bilinear")?.resize(&masks.narrow(0, i, 1)?.unsqueeze(1)?, h, w)?;
            let alpha = (1.0 - mask.squeeze(0)?)?.to_device(picture.device())?;
            joined.push(Tensor::cat(&[picture, &alpha], 0)?);
        }
        Ok(Arc::new(ImageBatch::from_pixels(joined)?))
    }
}

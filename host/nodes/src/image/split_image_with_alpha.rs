use crate::types::{ImageBatch, Mask};
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Takes pictures apart into colours and what is transparent.
#[derive(Inputs)]
pub(crate) struct SplitImageWithAlpha {
    /// The pictures.
    image: Arc<ImageBatch>,
}

impl TypedNode for SplitImageWithAlpha {
    const ID: &'static str = "SplitImageWithAlpha";
    const CATEGORY: &'static str = "mask/compositing";
    const DISPLAY_NAME: &'static str = "Split Image with Alpha";
    const STRICT: bool = false;
    type Output = (Arc<ImageBatch>, Arc<Mask>);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let clear = (1.0 - Tensor::stack(&self.image.alphas()?, 0)?)?;
        Ok((Arc::new(ImageBatch::from_pixels(self.image.pixels()?)?), Arc::new(Mask(clear))))
    }
}

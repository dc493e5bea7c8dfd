use crate::Host;
use crate::types::Latent;
use candle_core::{DType, Tensor};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// An empty latent, to start sampling from.
#[derive(Inputs)]
pub(crate) struct EmptyLatentImage {
    /// Width of the picture, in pixels.
    #[input(default = 512, range = 16..=16384, step = 8)]
    width: u32,
    /// Height of the picture, in pixels.
    #[input(default = 512, range = 16..=16384, step = 8)]
    height: u32,
    /// How many pictures to make at once.
    #[input(default = 1, range = 1..=4096)]
    batch_size: u32,
}

impl TypedNode for EmptyLatentImage {
    const ID: &'static str = "EmptyLatentImage";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "Empty Latent Image";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        // The shape that SD 1.x, 2.x and XL share: 4 channels, an eighth of each side.
        let shape = (self.batch_size as usize, 4, self.height as usize / 8, self.width as usize / 8);
        Ok(Arc::new(Latent::new(Tensor::zeros(shape, DType::F32, &ctx.services::<Host>().device)?)))
    }
}

use crate::Host;
use crate::types::Latent;
use candle_core::{DType, Tensor};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// An empty latent with the 16 channels of SD 3 and Flux.1, to start sampling from.
#[derive(Inputs)]
pub(crate) struct EmptySD3LatentImage {
    /// Width of the picture, in pixels.
    #[input(default = 1024, range = 16..=16384, step = 16)]
    width: u32,
    /// Height of the picture, in pixels.
    #[input(default = 1024, range = 16..=16384, step = 16)]
    height: u32,
    /// How many pictures to make at once.
    #[input(default = 1, range = 1..=4096)]
    batch_size: u32,
}

impl TypedNode for EmptySD3LatentImage {
    const ID: &'static str = "EmptySD3LatentImage";
    const CATEGORY: &'static str = "latent/sd3";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let shape = (self.batch_size as usize, 16, self.height as usize / 8, self.width as usize / 8);
        Ok(Arc::new(Latent::new(Tensor::zeros(shape, DType::F32, &ctx.services::<Host>().device)?)))
    }
}

use crate::types::ImageBatch;
use candle_core::{Device, Tensor};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Draws the edges of pictures, white on black, for ControlNets to follow.
#[derive(Inputs)]
pub(crate) struct Canny {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// Gradients above this are edges where they touch stronger ones.
    #[input(default = 0.4, range = 0.01..=0.99, step = 0.01)]
    low_threshold: f32,
    /// Gradients above this are edges.
    #[input(default = 0.8, range = 0.01..=0.99, step = 0.01)]
    high_threshold: f32,
}

impl TypedNode for Canny {
    const ID: &'static str = "Canny";
    const CATEGORY: &'static str = "image/preprocessors";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let edges = self.image.each(|picture| {
            ctx.check_cancelled()?;
            let (_, _, h, w) = picture.dims4()?;
            let planes = picture.flatten_all()?.to_vec1::<f32>()?;
            let edges = data::image::canny(&planes, w, h, self.low_threshold, self.high_threshold);
            Ok(Tensor::from_vec(edges, (1, 1, h, w), &Device::Cpu)?.repeat((1, 3, 1, 1))?)
        });
        edges.map(Arc::new)
    }
}

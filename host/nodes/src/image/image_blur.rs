use super::kernel::{Kernel, gaussian};
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Blurs pictures.
#[derive(Inputs)]
pub(crate) struct ImageBlur {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How far a pixel reaches, in pixels.
    #[input(default = 1, range = 1..=31, step = 1)]
    blur_radius: u32,
    /// Width of the bell, where 1 is the radius.
    #[input(default = 1.0, range = 0.1..=10.0, step = 0.1)]
    sigma: f64,
}

impl TypedNode for ImageBlur {
    const ID: &'static str = "ImageBlur";
    const CATEGORY: &'static str = "image/postprocessing";
    const DISPLAY_NAME: &'static str = "Image Blur";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let radius = self.blur_radius as usize;
        let kernel = Kernel { radius, weights: gaussian(radius, self.sigma) };
        let blurred = self.image.each(|picture| {
            ctx.check_cancelled()?;
            kernel.over(&picture)
        })?;
        Ok(Arc::new(blurred))
    }
}

use super::kernel::{Kernel, gaussian};
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Sharpens pictures: takes away a blurred one.
#[derive(Inputs)]
pub(crate) struct ImageSharpen {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How far a pixel reaches, in pixels.
    #[input(default = 1, range = 1..=31, step = 1)]
    sharpen_radius: u32,
    /// Width of the bell, where 1 is the radius.
    #[input(default = 1.0, range = 0.1..=10.0, step = 0.01)]
    sigma: f64,
    /// How strongly.
    #[input(default = 1.0, range = 0.0..=5.0, step = 0.01)]
    alpha: f64,
}

impl TypedNode for ImageSharpen {
    const ID: &'static str = "ImageSharpen";
    const CATEGORY: &'static str = "image/postprocessing";
    const DISPLAY_NAME: &'static str = "Image Sharpen";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let radius = self.sharpen_radius as usize;
        let mut weights = gaussian(radius, self.sigma);
        weights.iter_mut().for_each(|weight| *weight *= -10.0 * self.alpha as f32);
        // The weights add up to one.
        let sum: f32 = weights.iter().sum();
        weights[(2 * radius + 1) * radius + radius] += 1.0 - sum;
        let kernel = Kernel { radius, weights };
        let sharpened = self.image.each(|picture| {
            ctx.check_cancelled()?;
            Ok(kernel.over(&picture)?.clamp(0f32, 1f32)?)
        })?;
        Ok(Arc::new(sharpened))
    }
}

use super::batch::repeat_to;
use crate::image::resize;
use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Mixes two latents.
#[derive(Inputs)]
pub(crate) struct LatentBlend {
    /// The first.
    samples1: Arc<Latent>,
    /// The second; it is brought to the size of the first.
    samples2: Arc<Latent>,
    /// The share of the first, 0 to 1.
    #[input(default = 0.5, range = 0.0..=1.0, step = 0.01)]
    blend_factor: f64,
}

impl TypedNode for LatentBlend {
    const ID: &'static str = "LatentBlend";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "Latent Blend";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let first = &self.samples1.samples;
        let (b, _, h, w) = first.dims4()?;
        let mut second = self.samples2.samples.clone();
        if second.dims()[2..] != [h, w] {
            second = resize(&second, models::interpolation("bicubic")?, h, w, true)?;
        }
        let second = repeat_to(&second, b)?;
        let mixed = ((first * self.blend_factor)? + (second * (1.0 - self.blend_factor))?)?;
        Ok(Arc::new(self.samples1.with(mixed)))
    }
}

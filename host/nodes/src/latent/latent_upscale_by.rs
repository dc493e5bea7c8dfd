use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Makes latents larger or smaller by a factor.
#[derive(Inputs)]
pub(crate) struct LatentUpscaleBy {
    /// The latents.
    samples: Arc<Latent>,
    /// How neighbouring pixels are mixed.
    #[input(default = "nearest-exact", options = models::INTERPOLATIONS.iter().map(|i| i.name))]
    upscale_method: String,
    /// Factor of both sides.
    #[input(default = 1.5, range = 0.01..=8.0, step = 0.01)]
    scale_by: f64,
}

impl TypedNode for LatentUpscaleBy {
    const ID: &'static str = "LatentUpscaleBy";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "Upscale Latent By";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (_, _, h, w) = self.samples.samples.dims4()?;
        let side = |n: usize| (n as f64 * self.scale_by).round_ties_even() as usize;
        let way = models::interpolation(&self.upscale_method)?;
        Ok(Arc::new(self.samples.with(way.resize(&self.samples.samples, side(h), side(w))?)))
    }
}

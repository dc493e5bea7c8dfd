use super::walk::{Start, scaled};
use crate::types::{Latent, Model, Noise, Sigmas};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts as much noise on a latent as the way from the first to the last of these noise levels takes away.
#[derive(Inputs)]
pub(crate) struct AddNoise {
    /// The model whose latent it is.
    model: Arc<Model>,
    /// Where the noise comes from.
    noise: Arc<Noise>,
    /// The noise levels.
    sigmas: Arc<Sigmas>,
    /// What gets the noise.
    latent_image: Arc<Latent>,
}

impl TypedNode for AddNoise {
    const ID: &'static str = "AddNoise";
    const CATEGORY: &'static str = "sampling/custom_sampling/noise";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let sigma = match &self.sigmas.0[..] {
            [] => return Ok(self.latent_image),
            [only] => *only,
            [first, .., last] => (first - last).abs(),
        };
        let start = Start::new(&self.model, &self.latent_image, *self.noise)?;
        let latent = scaled(&self.model, &start.latent)?;
        let noisy = self.model.sigma_table().noisy(sigma, &latent, &start.noise.start)?;
        Ok(Arc::new(self.latent_image.with(self.model.latent.unscale(&noisy)?)))
    }
}

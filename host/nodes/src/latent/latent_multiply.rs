use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Multiplies latents by a number.
#[derive(Inputs)]
pub(crate) struct LatentMultiply {
    /// The latents.
    samples: Arc<Latent>,
    /// The number.
    #[input(default = 1.0, range = -10.0..=10.0, step = 0.01)]
    multiplier: f64,
}

impl TypedNode for LatentMultiply {
    const ID: &'static str = "LatentMultiply";
    const CATEGORY: &'static str = "latent/advanced";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(self.samples.with((&self.samples.samples * self.multiplier)?)))
    }
}

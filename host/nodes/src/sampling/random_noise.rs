use crate::types::Noise;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Noise of one seed for all pictures of a batch, as ComfyUI draws it.
#[derive(Inputs)]
pub(crate) struct RandomNoise {
    /// Seed of the noise.
    #[input(default = 0, seed)]
    noise_seed: u64,
}

impl TypedNode for RandomNoise {
    const ID: &'static str = "RandomNoise";
    const CATEGORY: &'static str = "sampling/custom_sampling/noise";
    const STRICT: bool = false;
    type Output = Arc<Noise>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(Noise::Random { seed: self.noise_seed }))
    }
}

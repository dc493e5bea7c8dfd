use crate::types::Noise;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// No noise at the start: the latent has some already.
#[derive(Inputs)]
pub(crate) struct DisableNoise {}

impl TypedNode for DisableNoise {
    const ID: &'static str = "DisableNoise";
    const CATEGORY: &'static str = "sampling/custom_sampling/noise";
    const STRICT: bool = false;
    type Output = Arc<Noise>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(Noise::Off))
    }
}

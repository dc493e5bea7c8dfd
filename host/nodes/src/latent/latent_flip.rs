use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Mirrors latents.
#[derive(Inputs)]
pub(crate) struct LatentFlip {
    /// The latents.
    samples: Arc<Latent>,
    /// Which way.
    #[input(default = "x-axis: vertically", options = ["x-axis: vertically", "y-axis: horizontally"])]
    flip_method: String,
}

impl TypedNode for LatentFlip {
    const ID: &'static str = "LatentFlip";
    const CATEGORY: &'static str = "latent/transform";
    const DISPLAY_NAME: &'static str = "Flip Latent";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let axis = if self.flip_method.starts_with('x') { 2 } else { 3 };
        Ok(Arc::new(self.samples.with(self.samples.samples.flip(&[axis])?)))
    }
}

use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns latents clockwise.
#[derive(Inputs)]
pub(crate) struct LatentRotate {
    /// The latents.
    samples: Arc<Latent>,
    /// How far.
    #[input(default = "none", options = ["none", "90 degrees", "180 degrees", "270 degrees"])]
    rotation: String,
}

impl TypedNode for LatentRotate {
    const ID: &'static str = "LatentRotate";
    const CATEGORY: &'static str = "latent/transform";
    const DISPLAY_NAME: &'static str = "Rotate Latent";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let samples = &self.samples.samples;
        let turned = match self.rotation.as_str() {
            "90 degrees" => samples.transpose(2, 3)?.contiguous()?.flip(&[3])?,
            "180 degrees" => samples.flip(&[2, 3])?,
            "270 degrees" => samples.transpose(2, 3)?.contiguous()?.flip(&[2])?,
            _ => samples.clone(),
        };
        Ok(Arc::new(self.samples.with(turned)))
    }
}

use crate::types::{Latent, Mask};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets samplers change latents only where a mask is white.
#[derive(Inputs)]
pub(crate) struct SetLatentNoiseMask {
    /// The latents.
    samples: Arc<Latent>,
    /// Where the picture is made anew; it is stretched over the latent.
    mask: Arc<Mask>,
}

impl TypedNode for SetLatentNoiseMask {
    const ID: &'static str = "SetLatentNoiseMask";
    const CATEGORY: &'static str = "latent/inpaint";
    const DISPLAY_NAME: &'static str = "Set Latent Noise Mask";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        // (b, 1, h, w)
        let noise_mask = Some(self.mask.0.unsqueeze(1)?);
        Ok(Arc::new(Latent { noise_mask, ..Latent::clone(&self.samples) }))
    }
}

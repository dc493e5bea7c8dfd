use crate::types::{ClipVisionOutput, Conditioning, PictureText};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets pictures stand in for the pooled text of SDXL.
#[derive(Inputs)]
pub(crate) struct UnCLIPConditioning {
    /// The prompts.
    conditioning: Arc<Conditioning>,
    /// What an encoder of pictures has seen: for SDXL, that of CLIP bigG.
    clip_vision_output: Arc<ClipVisionOutput>,
    /// How strongly it leads; 0 changes nothing.
    #[input(default = 1.0, range = -10.0..=10.0, step = 0.01)]
    strength: f64,
    /// How much noise is put on what was seen, so that the picture keeps less of it.
    #[input(default = 0.0, range = 0.0..=1.0, step = 0.01)]
    noise_augmentation: f64,
}

impl TypedNode for UnCLIPConditioning {
    const ID: &'static str = "unCLIPConditioning";
    const CATEGORY: &'static str = "conditioning";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        if self.strength == 0.0 {
            return Ok(self.conditioning);
        }
        let seen = PictureText {
            embeds: self.clip_vision_output.0.embeds.clone(),
            strength: self.strength,
            noise: self.noise_augmentation,
        };
        Ok(Arc::new(self.conditioning.map(|one| one.pictures.push(seen.clone()))))
    }
}

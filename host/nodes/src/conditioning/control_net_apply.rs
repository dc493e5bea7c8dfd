use super::control::follow;
use crate::types::{Conditioning, Control, ControlNetModel, ImageBatch};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets prompts follow a picture through a ControlNet, those of the other side of guidance included.
#[derive(Inputs)]
pub(crate) struct ControlNetApply {
    /// The prompts.
    conditioning: Arc<Conditioning>,
    /// The ControlNet.
    control_net: Arc<ControlNetModel>,
    /// What to follow, such as edges or depths; it is brought to the size of the picture that is made.
    image: Arc<ImageBatch>,
    /// How closely.
    #[input(default = 1.0, range = 0.0..=10.0, step = 0.01)]
    strength: f64,
}

impl TypedNode for ControlNetApply {
    const ID: &'static str = "ControlNetApply";
    const CATEGORY: &'static str = "conditioning/controlnet";
    const DISPLAY_NAME: &'static str = "Apply ControlNet (OLD)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let control = Control {
            net: self.control_net.net.clone(),
            picture: self.image,
            strength: self.strength,
            range: (0.0, 1.0),
            for_both: true,
            before: None,
        };
        Ok(follow(&self.conditioning, &control))
    }
}

use super::control::follow;
use crate::types::{Conditioning, Control, ControlNetModel, ImageBatch, VaeModel};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets prompts of both sides of guidance follow a picture through a ControlNet, for a part of the steps.
#[derive(Inputs)]
pub(crate) struct ControlNetApplyAdvanced {
    /// The prompts that say what to show.
    positive: Arc<Conditioning>,
    /// The prompts that say what to avoid.
    negative: Arc<Conditioning>,
    /// The ControlNet.
    control_net: Arc<ControlNetModel>,
    /// What to follow, such as edges or depths; it is brought to the size of the picture that is made.
    image: Arc<ImageBatch>,
    /// How closely.
    #[input(default = 1.0, range = 0.0..=10.0, step = 0.01)]
    strength: f64,
    /// Where it begins, from 0 (all noise) to 1 (no noise).
    #[input(default = 0.0, range = 0.0..=1.0, step = 0.001)]
    start_percent: f64,
    /// Where it ends.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.001)]
    end_percent: f64,
    /// Not needed by the ControlNets that are read here; other kinds see the picture through it.
    vae: Option<Arc<VaeModel>>,
}

impl TypedNode for ControlNetApplyAdvanced {
    const ID: &'static str = "ControlNetApplyAdvanced";
    const CATEGORY: &'static str = "conditioning/controlnet";
    const DISPLAY_NAME: &'static str = "Apply ControlNet";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["positive", "negative"];
    type Output = (Arc<Conditioning>, Arc<Conditioning>);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        drop(self.vae);
        let control = Control {
            net: self.control_net.net.clone(),
            picture: self.image,
            strength: self.strength,
            range: (self.start_percent, self.end_percent),
            for_both: false,
            before: None,
        };
        Ok((follow(&self.positive, &control), follow(&self.negative, &control)))
    }
}

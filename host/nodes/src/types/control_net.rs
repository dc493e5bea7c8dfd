use super::ImageBatch;
use models::ControlNet;
use spec::ObjectType;
use std::sync::Arc;

/// A network that shows a denoising network what a picture is to follow.
#[derive(Clone)]
pub struct ControlNetModel {
    pub net: ControlNet,
}

impl ObjectType for ControlNetModel {
    const SOCKET: &'static str = "CONTROL_NET";
}

/// A ControlNet with its picture, as a prompt carries it.
#[derive(Clone)]
pub struct Control {
    pub net: ControlNet,
    pub picture: Arc<ImageBatch>,
    pub strength: f64,
    /// The part of the schedule that it works in, from 0 (all noise) to 1 (no noise).
    pub range: (f64, f64),
    /// Prompts of the other side of guidance that have no ControlNet follow it too.
    pub for_both: bool,
    /// The one that the prompt had before: both add up.
    pub before: Option<Arc<Control>>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({} from {:?})", self.strength, self.range)
    }
}

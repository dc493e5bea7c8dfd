//! Networks that look at pictures, and what they see.

use models::{StyleModel, Vision, VisionOutput};
use spec::ObjectType;

/// An encoder of pictures.
#[derive(Clone)]
pub struct ClipVision {
    pub net: Vision,
}

impl ObjectType for ClipVision {
    const SOCKET: &'static str = "CLIP_VISION";
}

/// What an encoder makes of a batch of pictures.
#[derive(Clone, Debug)]
pub struct ClipVisionOutput(pub VisionOutput);

impl ObjectType for ClipVisionOutput {
    const SOCKET: &'static str = "CLIP_VISION_OUTPUT";
}

/// A network that turns pictures into texts.
#[derive(Clone)]
pub struct Style {
    pub net: StyleModel,
}

impl ObjectType for Style {
    const SOCKET: &'static str = "STYLE_MODEL";
}

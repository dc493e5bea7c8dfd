use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns pictures clockwise.
#[derive(Inputs)]
pub(crate) struct ImageRotate {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How far.
    #[input(default = "none", options = ["none", "90 degrees", "180 degrees", "270 degrees"])]
    rotation: String,
}

impl TypedNode for ImageRotate {
    const ID: &'static str = "ImageRotate";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Rotate Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        self.image
            .each(|picture| {
                Ok(match self.rotation.as_str() {
                    "90 degrees" => picture.transpose(2, 3)?.contiguous()?.flip(&[3])?,
                    "180 degrees" => picture.flip(&[2, 3])?,
                    "270 degrees" => picture.transpose(2, 3)?.contiguous()?.flip(&[2])?,
                    _ => picture,
                })
            })
            .map(Arc::new)
    }
}

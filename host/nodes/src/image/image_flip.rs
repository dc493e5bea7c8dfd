use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Mirrors pictures.
#[derive(Inputs)]
pub(crate) struct ImageFlip {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// Which way.
    #[input(default = "x-axis: vertically", options = ["x-axis: vertically", "y-axis: horizontally"])]
    flip_method: String,
}

impl TypedNode for ImageFlip {
    const ID: &'static str = "ImageFlip";
    const CATEGORY: &'static str = "image/transform";
    const DISPLAY_NAME: &'static str = "Flip Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let axis = if self.flip_method.starts_with('x') { 2 } else { 3 };
        self.image.each(|picture| Ok(picture.flip(&[axis])?)).map(Arc::new)
    }
}

use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns light into dark and each colour into its complement.
#[derive(Inputs)]
pub(crate) struct ImageInvert {
    /// The pictures.
    image: Arc<ImageBatch>,
}

impl TypedNode for ImageInvert {
    const ID: &'static str = "ImageInvert";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Invert Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        self.image.each(|picture| Ok((1.0 - picture)?)).map(Arc::new)
    }
}

use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Repeats a batch of pictures.
#[derive(Inputs)]
pub(crate) struct RepeatImageBatch {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// How often, the first time included.
    #[input(default = 1, range = 1..=4096)]
    amount: u32,
}

impl TypedNode for RepeatImageBatch {
    const ID: &'static str = "RepeatImageBatch";
    const CATEGORY: &'static str = "image/batch";
    const DISPLAY_NAME: &'static str = "Repeat Image Batch";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(ImageBatch::join(&vec![self.image; self.amount as usize])?))
    }
}

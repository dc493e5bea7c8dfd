use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Takes some pictures of a batch.
#[derive(Inputs)]
pub(crate) struct ImageFromBatch {
    /// The batch.
    image: Arc<ImageBatch>,
    /// The first to take, counted from 0; the last one if there are fewer.
    #[input(default = 0, range = 0..=4095)]
    batch_index: u32,
    /// How many to take, if there are as many.
    #[input(default = 1, range = 1..=4096)]
    length: u32,
}

impl TypedNode for ImageFromBatch {
    const ID: &'static str = "ImageFromBatch";
    const CATEGORY: &'static str = "image/batch";
    const DISPLAY_NAME: &'static str = "Get Image from Batch";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let count = self.image.images().len();
        let from = (self.batch_index as usize).min(count.saturating_sub(1));
        Ok(Arc::new(self.image.slice(from..(from + self.length as usize).min(count))))
    }
}

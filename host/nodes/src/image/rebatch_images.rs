use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts all pictures of a list into batches of one size.
#[derive(Inputs)]
pub(crate) struct RebatchImages {
    /// The batches as they come.
    images: Vec<Arc<ImageBatch>>,
    /// How many pictures a batch has; the last one has what is left.
    #[input(default = 1, range = 1..=4096)]
    batch_size: u32,
}

impl TypedNode for RebatchImages {
    const ID: &'static str = "RebatchImages";
    const CATEGORY: &'static str = "image/batch";
    const DISPLAY_NAME: &'static str = "Rebatch Images";
    const STRICT: bool = false;
    type Output = Vec<Arc<ImageBatch>>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let all = ImageBatch::join(&self.images)?;
        let (count, size) = (all.images().len(), self.batch_size as usize);
        Ok((0..count).step_by(size).map(|from| Arc::new(all.slice(from..(from + size).min(count)))).collect())
    }
}

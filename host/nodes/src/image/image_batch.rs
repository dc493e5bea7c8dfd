use super::resize::way;
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts pictures into one batch; the second are brought to the size of the first.
#[derive(Inputs)]
pub(crate) struct ImageBatchNode {
    /// The first.
    image1: Arc<ImageBatch>,
    /// The others.
    image2: Arc<ImageBatch>,
}

impl TypedNode for ImageBatchNode {
    const ID: &'static str = "ImageBatch";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Batch Images";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let mut all = self.image1.pixels()?;
        let Some(first) = all.first() else { return Ok(self.image2) };
        let (_, h, w) = first.dims3()?;
        let way = way("bilinear")?;
        for picture in self.image2.pixels()? {
            let same = picture.dims()[1..] == [h, w];
            all.push(if same { picture } else { way.resize(&picture.unsqueeze(0)?, h, w, true)?.squeeze(0)? });
        }
        Ok(Arc::new(ImageBatch::from_pixels(all)?))
    }
}

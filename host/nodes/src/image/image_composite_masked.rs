use super::resize::{lay_over, same_size};
use crate::types::{ImageBatch, Mask};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lays pictures over others, where a mask is white.
#[derive(Inputs)]
pub(crate) struct ImageCompositeMasked {
    /// What lies below.
    destination: Arc<ImageBatch>,
    /// What is laid over it.
    source: Arc<ImageBatch>,
    /// Where the source's left side comes, in pixels.
    #[input(default = 0, range = 0..=16384)]
    x: u32,
    /// Where the source's upper side comes, in pixels.
    #[input(default = 0, range = 0..=16384)]
    y: u32,
    /// Stretch the source over the whole destination first.
    #[input(default = false)]
    resize_source: bool,
    /// Where the source shows; without one it shows everywhere.
    mask: Option<Arc<Mask>>,
}

impl TypedNode for ImageCompositeMasked {
    const ID: &'static str = "ImageCompositeMasked";
    const CATEGORY: &'static str = "image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let below = same_size(&self.destination)?;
        let laid = lay_over(
            &below,
            &same_size(&self.source)?,
            (self.x as usize, self.y as usize),
            self.resize_source,
            self.mask.as_deref(),
        )?;
        let pictures = (0..laid.dim(0)?).map(|i| laid.get(i)).collect::<candle_core::Result<_>>()?;
        Ok(Arc::new(ImageBatch::from_pixels(pictures)?))
    }
}

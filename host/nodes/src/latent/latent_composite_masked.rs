use crate::image::lay_over;
use crate::types::{Latent, Mask};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lays latents over others, where a mask is white.
#[derive(Inputs)]
pub(crate) struct LatentCompositeMasked {
    /// What lies below.
    destination: Arc<Latent>,
    /// What is laid over it.
    source: Arc<Latent>,
    /// Where the source's left side comes, in pixels of the picture.
    #[input(default = 0, range = 0..=16384, step = 8)]
    x: u32,
    /// Where the source's upper side comes, in pixels.
    #[input(default = 0, range = 0..=16384, step = 8)]
    y: u32,
    /// Stretch the source over the whole destination first.
    #[input(default = false)]
    resize_source: bool,
    /// Where the source shows; without one it shows everywhere.
    mask: Option<Arc<Mask>>,
}

impl TypedNode for LatentCompositeMasked {
    const ID: &'static str = "LatentCompositeMasked";
    const CATEGORY: &'static str = "latent";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let at = (self.x as usize / 8, self.y as usize / 8);
        let (below, over) = (&self.destination.samples, &self.source.samples);
        Ok(Arc::new(self.destination.with(lay_over(below, over, at, self.resize_source, self.mask.as_deref())?)))
    }
}

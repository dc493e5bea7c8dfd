use crate::types::Mask;
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Cuts a rectangle out of a mask.
#[derive(Inputs)]
pub(crate) struct CropMask {
    /// The mask.
    mask: Arc<Mask>,
    /// Left side, in pixels.
    #[input(default = 0, range = 0..=16384)]
    x: u32,
    /// Upper side, in pixels.
    #[input(default = 0, range = 0..=16384)]
    y: u32,
    /// Width to keep, in pixels.
    #[input(default = 512, range = 1..=16384)]
    width: u32,
    /// Height to keep, in pixels.
    #[input(default = 512, range = 1..=16384)]
    height: u32,
}

impl TypedNode for CropMask {
    const ID: &'static str = "CropMask";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (_, h, w) = self.mask.0.dims3()?;
        let (x, y) = (self.x as usize, self.y as usize);
        if x >= w || y >= h {
            bail!("the place ({x}, {y}) lies outside of {w}×{h} pixels");
        }
        let (width, height) = ((self.width as usize).min(w - x), (self.height as usize).min(h - y));
        Ok(Arc::new(Mask(self.mask.0.narrow(1, y, height)?.narrow(2, x, width)?.contiguous()?)))
    }
}

use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Cuts a rectangle out of latents.
#[derive(Inputs)]
pub(crate) struct LatentCrop {
    /// The latents.
    samples: Arc<Latent>,
    /// Width to keep, in pixels of the picture.
    #[input(default = 512, range = 64..=16384, step = 8)]
    width: u32,
    /// Height to keep, in pixels.
    #[input(default = 512, range = 64..=16384, step = 8)]
    height: u32,
    /// Left side, in pixels.
    #[input(default = 0, range = 0..=16384, step = 8)]
    x: u32,
    /// Upper side, in pixels.
    #[input(default = 0, range = 0..=16384, step = 8)]
    y: u32,
}

impl TypedNode for LatentCrop {
    const ID: &'static str = "LatentCrop";
    const CATEGORY: &'static str = "latent/transform";
    const DISPLAY_NAME: &'static str = "Crop Latent";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (_, _, h, w) = self.samples.samples.dims4()?;
        let eighth = |n: u32| n as usize / 8;
        // At least 8 latent pixels are kept, as in ComfyUI.
        let (x, y) = (eighth(self.x).min(w.saturating_sub(8)), eighth(self.y).min(h.saturating_sub(8)));
        let (width, height) = (eighth(self.width).min(w - x), eighth(self.height).min(h - y));
        let cropped = self.samples.samples.narrow(2, y, height)?.narrow(3, x, width)?.contiguous()?;
        Ok(Arc::new(self.samples.with(cropped)))
    }
}

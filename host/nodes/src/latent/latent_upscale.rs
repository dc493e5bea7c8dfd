use crate::image::resize;
use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Changes the size of latents, to make the picture larger and sample on.
#[derive(Inputs)]
pub(crate) struct LatentUpscale {
    /// The latents.
    samples: Arc<Latent>,
    /// How neighbouring pixels are mixed.
    #[input(default = "nearest-exact", options = models::INTERPOLATIONS.iter().map(|i| i.name))]
    upscale_method: String,
    /// New width of the picture, in pixels; 0 keeps the shape.
    #[input(default = 512, range = 0..=16384, step = 8)]
    width: u32,
    /// New height of the picture, in pixels; 0 keeps the shape.
    #[input(default = 512, range = 0..=16384, step = 8)]
    height: u32,
    /// Cut off what does not fit the new shape, instead of stretching.
    #[input(default = "disabled", options = ["disabled", "center"])]
    crop: String,
}

impl TypedNode for LatentUpscale {
    const ID: &'static str = "LatentUpscale";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "Upscale Latent";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (_, _, h, w) = self.samples.samples.dims4()?;
        let (width, height) = (self.width as usize, self.height as usize);
        // Sides below 64 pixels are raised, and a side of 0 follows the other (in latent pixels), as in ComfyUI.
        let follow = |n: usize, to: usize, of: usize| (n as f64 * to as f64 / of as f64).round_ties_even() as usize;
        let (width, height) = match (width, height) {
            (0, 0) => return Ok(self.samples),
            (0, height) => (follow(w, height.max(64), h).max(64), height.max(64)),
            (width, 0) => (width.max(64), follow(h, width.max(64), w).max(64)),
            (width, height) => (width.max(64), height.max(64)),
        };
        let way = models::interpolation(&self.upscale_method)?;
        let samples = resize(&self.samples.samples, way, height / 8, width / 8, self.crop == "center")?;
        Ok(Arc::new(self.samples.with(samples)))
    }
}

use super::pixels::{check_channels, pictures, three_ways};
use crate::types::{ImageBatch, Latent, VaeModel};
use engine::{Context, TypedNode};
use models::Tiling;
use spec::Inputs;
use std::sync::Arc;

/// Turns latents into pictures tile by tile: less memory for large ones, at a small loss.
#[derive(Inputs)]
pub(crate) struct VAEDecodeTiled {
    /// The latents.
    samples: Arc<Latent>,
    /// The autoencoder of the base that made them.
    vae: Arc<VaeModel>,
    /// Side of a tile, in pixels.
    #[input(default = 512, range = 64..=4096, step = 32)]
    tile_size: u32,
    /// Pixels that neighbouring tiles share.
    #[input(default = 64, range = 0..=4096, step = 32)]
    overlap: u32,
}

impl TypedNode for VAEDecodeTiled {
    const ID: &'static str = "VAEDecodeTiled";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "VAE Decode (Tiled)";
    const PERSISTENT: bool = true;
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        check_channels(&self.vae, &self.samples.samples)?;
        let factor = self.vae.vae.config().factor();
        // Tiles that share more than a quarter would be mostly repetition, as in ComfyUI.
        let (tile, overlap) = (self.tile_size as usize, (self.overlap as usize).min(self.tile_size as usize / 4));
        let tiling = Tiling { tile: (tile / factor, tile / factor), overlap: overlap / factor, scale: (factor, 1) };
        let decoded = three_ways(ctx, &self.samples.samples, tiling, "decoding", |t| self.vae.vae.decode(t))?;
        Ok(Arc::new(ImageBatch::from_pixels(pictures(&decoded)?)?))
    }
}

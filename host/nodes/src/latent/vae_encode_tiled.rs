use super::pixels::{crop, three_ways};
use crate::Host;
use crate::image::same_size;
use crate::types::{ImageBatch, Latent, VaeModel};
use engine::{Context, TypedNode};
use models::Tiling;
use spec::Inputs;
use std::sync::Arc;

/// Turns pictures into latents tile by tile: less memory for large ones, at a small loss.
#[derive(Inputs)]
pub(crate) struct VAEEncodeTiled {
    /// The pictures, all of one size.
    pixels: Arc<ImageBatch>,
    /// The autoencoder of the base that goes on.
    vae: Arc<VaeModel>,
    /// Side of a tile, in pixels.
    #[input(default = 512, range = 64..=4096, step = 32)]
    tile_size: u32,
    /// Pixels that neighbouring tiles share.
    #[input(default = 64, range = 0..=4096, step = 32)]
    overlap: u32,
}

impl TypedNode for VAEEncodeTiled {
    const ID: &'static str = "VAEEncodeTiled";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "VAE Encode (Tiled)";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let factor = self.vae.vae.config().factor();
        let pixels = crop(&same_size(&self.pixels)?, factor)?.to_device(&ctx.services::<Host>().device)?;
        let tile = self.tile_size as usize;
        let tiling = Tiling { tile: (tile, tile), overlap: (self.overlap as usize).min(tile / 4), scale: (1, factor) };
        let mean = three_ways(ctx, &((pixels * 2.0)? - 1.0)?, tiling, "encoding", |t| Ok(self.vae.vae.encode(t)?.0))?;
        Ok(Arc::new(Latent::new(mean)))
    }
}

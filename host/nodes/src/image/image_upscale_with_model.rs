use crate::types::{ImageBatch, UpscaleModel};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Enlarges pictures with a network, large ones in tiles.
#[derive(Inputs)]
pub(crate) struct ImageUpscaleWithModel {
    /// The network.
    upscale_model: Arc<UpscaleModel>,
    /// The pictures.
    image: Arc<ImageBatch>,
}

impl TypedNode for ImageUpscaleWithModel {
    const ID: &'static str = "ImageUpscaleWithModel";
    const CATEGORY: &'static str = "image/upscaling";
    const DISPLAY_NAME: &'static str = "Upscale Image (using Model)";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let net = &self.upscale_model.net;
        let tiling = net.tiling();
        let sizes = self.image.images().iter().map(|i| tiling.count(i.height as usize, i.width as usize));
        let (mut done, total) = (0, sizes.sum::<usize>() as u64);
        let enlarged = self.image.each(|picture| {
            let enlarged = tiling.run(&picture, &mut |tile| {
                if ctx.cancelled() {
                    return Err(models::Error::Unsupported("cancelled".into()));
                }
                let enlarged = net.upscale(tile)?;
                done += 1;
                ctx.progress(done, total, "enlarging");
                Ok(enlarged)
            });
            ctx.check_cancelled()?;
            Ok(enlarged?)
        })?;
        Ok(Arc::new(enlarged))
    }
}

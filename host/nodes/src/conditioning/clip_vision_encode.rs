use crate::types::{ClipVision, ClipVisionOutput, ImageBatch};
use candle_core::Tensor;
use engine::{Context, TypedNode};
use models::VisionOutput;
use spec::Inputs;
use std::sync::Arc;

/// Lets an encoder of pictures look at some.
#[derive(Inputs)]
pub(crate) struct CLIPVisionEncode {
    /// The encoder.
    clip_vision: Arc<ClipVision>,
    /// The pictures.
    image: Arc<ImageBatch>,
    /// Look at the square in the middle, or at the whole picture, squeezed into a square.
    #[input(default = "center", options = ["center", "none"])]
    crop: String,
}

impl TypedNode for CLIPVisionEncode {
    const ID: &'static str = "CLIPVisionEncode";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "CLIP Vision Encode";
    const STRICT: bool = false;
    type Output = Arc<ClipVisionOutput>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let mut seen: Vec<VisionOutput> = Vec::new();
        for picture in self.image.pixels()? {
            ctx.check_cancelled()?;
            seen.push(self.clip_vision.net.encode(&picture.unsqueeze(0)?, self.crop == "center")?);
        }
        let all = |of: fn(&VisionOutput) -> &Tensor| Tensor::cat(&seen.iter().map(of).collect::<Vec<_>>(), 0);
        Ok(Arc::new(ClipVisionOutput(VisionOutput {
            last_hidden: all(|one| &one.last_hidden)?,
            penultimate: all(|one| &one.penultimate)?,
            embeds: all(|one| &one.embeds)?,
        })))
    }
}

use super::resize::same_size;
use crate::types::{ImageBatch, Mask};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Takes a colour of pictures as a mask.
#[derive(Inputs)]
pub(crate) struct ImageToMask {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// Which colour; alpha is 1, as pictures on links have none.
    #[input(default = "red", options = ["red", "green", "blue", "alpha"])]
    channel: String,
}

impl TypedNode for ImageToMask {
    const ID: &'static str = "ImageToMask";
    const CATEGORY: &'static str = "mask";
    const DISPLAY_NAME: &'static str = "Convert Image to Mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let pictures = same_size(&self.image)?;
        let (b, _, h, w) = pictures.dims4()?;
        let mask = match ["red", "green", "blue"].iter().position(|c| *c == self.channel) {
            // (b, h, w)
            Some(channel) => pictures.narrow(1, channel, 1)?.squeeze(1)?.contiguous()?,
            None => pictures.narrow(1, 0, 1)?.ones_like()?.reshape((b, h, w))?,
        };
        Ok(Arc::new(Mask(mask)))
    }
}

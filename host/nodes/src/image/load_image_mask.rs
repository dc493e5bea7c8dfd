use super::load_image::{channel, file_fingerprint, open};
use crate::types::Mask;
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Reads a mask from a channel of a picture.
#[derive(Inputs)]
pub(crate) struct LoadImageMask {
    /// The file; a relative path begins at the workflow's folder.
    #[input(host_list = "file")]
    image: String,
    /// Which channel; of alpha what is transparent is white.
    #[input(default = "alpha", options = CHANNELS)]
    channel: String,
}

const CHANNELS: [&str; 4] = ["alpha", "red", "green", "blue"];

impl TypedNode for LoadImageMask {
    const ID: &'static str = "LoadImageMask";
    const CATEGORY: &'static str = "mask";
    const DISPLAY_NAME: &'static str = "Load Image (as Mask)";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        file_fingerprint(ctx, constants)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let image = open(ctx, &self.image)?;
        let Some(place) = CHANNELS.iter().position(|c| *c == self.channel) else {
            bail!("unknown channel `{}`", self.channel);
        };
        // Alpha stands behind the colours.
        Ok(Arc::new(channel(&image, (place + 3) % 4)?))
    }
}

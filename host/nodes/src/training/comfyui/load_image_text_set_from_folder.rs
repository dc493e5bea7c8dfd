use super::folder;
use crate::conditioning::{COMFYUI, encode};
use crate::types::{Clip, Conditioning, ImageBatch};
use anyhow::ensure;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Reads all pictures of a folder as one batch, and their captions as one prompt each. Pictures in a folder `N_name`
/// count N times.
#[derive(Inputs)]
pub(crate) struct LoadImageTextSetFromFolderNode {
    /// The folder, beside the workflow or in `input` beside it; captions are `.txt` files beside the pictures.
    #[input(host_list = "folder")]
    folder: String,
    /// The text encoder that reads the captions.
    clip: Arc<Clip>,
    /// What becomes of pictures that have another size than the first: an error, stretched, cut, or framed in black.
    #[input(default = "None", options = folder::METHODS)]
    resize_method: String,
    /// Width of all pictures in pixels. −1: that of the first.
    #[input(default = -1, range = -1..=10_000)]
    width: i32,
    /// Height of all pictures in pixels. −1: that of the first.
    #[input(default = -1, range = -1..=10_000)]
    height: i32,
}

impl TypedNode for LoadImageTextSetFromFolderNode {
    const ID: &'static str = "LoadImageTextSetFromFolderNode";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Load Image and Text Set from Folder";
    const STRICT: bool = false;
    type Output = (Arc<ImageBatch>, Arc<Conditioning>);

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        folder::fingerprint(ctx, constants)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let paths = folder::files_with_repeats(ctx, &self.folder)?;
        let size = match (u32::try_from(self.width), u32::try_from(self.height)) {
            (Ok(width), Ok(height)) => Some((width, height)),
            (Err(_), Err(_)) => None,
            _ => anyhow::bail!("`width` and `height`: give both, or neither"),
        };
        ensure!(size.is_none_or(|(w, h)| w > 0 && h > 0), "`width` and `height`: expected at least 1 pixel");
        let images = folder::batch(ctx, &paths, &self.resize_method, size)?;
        let mut all = Vec::with_capacity(paths.len());
        for (done, path) in paths.iter().enumerate() {
            ctx.check_cancelled()?;
            all.extend(encode(ctx, &self.clip, COMFYUI, &folder::caption(path)?)?.0);
            ctx.progress(done as u64 + 1, paths.len() as u64, "encoding captions");
        }
        Ok((images, Arc::new(Conditioning(all))))
    }
}

use super::folder;
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Reads all pictures of a folder with their captions as lists, each picture in its own size. Pictures in a folder
/// `N_name` count N times.
#[derive(Inputs)]
pub(crate) struct LoadImageTextDataSetFromFolder {
    /// The folder, beside the workflow or in `input` beside it; captions are `.txt` files beside the pictures.
    #[input(host_list = "folder")]
    folder: String,
}

impl TypedNode for LoadImageTextDataSetFromFolder {
    const ID: &'static str = "LoadImageTextDataSetFromFolder";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Load Image and Text Dataset from Folder";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["images", "texts"];
    type Output = (Vec<Arc<ImageBatch>>, Vec<String>);

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        folder::fingerprint(ctx, constants)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let (mut images, mut texts) = (Vec::new(), Vec::new());
        for path in folder::files_with_repeats(ctx, &self.folder)? {
            ctx.check_cancelled()?;
            images.push(Arc::new(ImageBatch::new(vec![folder::open(&path)?])));
            texts.push(folder::caption(&path)?);
        }
        Ok((images, texts))
    }
}

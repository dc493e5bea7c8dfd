use super::folder;
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Reads all pictures of a folder as one batch, in the order of their names.
#[derive(Inputs)]
pub(crate) struct LoadImageSetFromFolderNode {
    /// The folder, beside the workflow or in `input` beside it.
    #[input(host_list = "folder")]
    folder: String,
    /// What becomes of pictures that have another size than the first: an error, stretched, cut, or framed in black.
    #[input(default = "None", options = folder::METHODS)]
    resize_method: String,
}

impl TypedNode for LoadImageSetFromFolderNode {
    const ID: &'static str = "LoadImageSetFromFolderNode";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Load Image Set from Folder";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        folder::fingerprint(ctx, constants)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        folder::batch(ctx, &folder::files(ctx, &self.folder)?, &self.resize_method, None)
    }
}

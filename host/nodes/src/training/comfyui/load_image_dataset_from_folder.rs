use super::folder;
use crate::types::ImageBatch;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Reads all pictures of a folder as a list, each in its own size, in the order of their names.
#[derive(Inputs)]
pub(crate) struct LoadImageDataSetFromFolder {
    /// The folder, beside the workflow or in `input` beside it.
    #[input(host_list = "folder")]
    folder: String,
}

impl TypedNode for LoadImageDataSetFromFolder {
    const ID: &'static str = "LoadImageDataSetFromFolder";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Load Image Dataset from Folder";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["images"];
    type Output = (Vec<Arc<ImageBatch>>,);

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        folder::fingerprint(ctx, constants)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let one = |path: &std::path::PathBuf| Ok(Arc::new(ImageBatch::new(vec![folder::open(path)?])));
        Ok((folder::files(ctx, &self.folder)?.iter().map(one).collect::<anyhow::Result<_>>()?,))
    }
}

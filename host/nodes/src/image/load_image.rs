use crate::Host;
use crate::types::ImageBatch;
use data::{DecodeLimits, Image};
use engine::{Context, TypedNode};
use serde_json::Value as Json;
use spec::{Inputs, Value, Values};
use std::sync::Arc;

/// Reads a picture.
#[derive(Inputs)]
pub(crate) struct LoadImage {
    /// The file; a relative path begins at the workflow's folder.
    #[input(host_list = "file")]
    image: String,
}

impl TypedNode for LoadImage {
    const ID: &'static str = "LoadImage";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Load Image";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        let host = ctx.services::<Host>();
        match constants.get("image") {
            Some(Value::Data(Json::String(path))) => Ok(host.file_digest(&host.input_path(path))?.to_string()),
            _ => Ok(String::new()),
        }
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let path = ctx.services::<Host>().input_path(&self.image);
        Ok(Arc::new(ImageBatch(vec![Image::open(&path, &DecodeLimits::default())?])))
    }
}

use super::load;
use crate::types::UpscaleModel;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads a network that enlarges pictures: ESRGAN or Real-ESRGAN.
#[derive(Inputs)]
pub(crate) struct UpscaleModelLoader {
    /// The file, in the folder `upscale_models` of the models.
    #[input(host_list = "models/upscale_models")]
    model_name: String,
}

impl TypedNode for UpscaleModelLoader {
    const ID: &'static str = "UpscaleModelLoader";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load Upscale Model";
    const STRICT: bool = false;
    type Output = Arc<UpscaleModel>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "model_name", "upscale_models")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        load::part(ctx, "upscale_models", &[&self.model_name], "", |paths, memory| {
            let loaded = models::load_upscaler(&paths[0], memory)?;
            Ok((UpscaleModel { net: loaded.net }, loaded.found))
        })
    }
}

use super::load;
use crate::types::ClipVision;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads an encoder of pictures: CLIP's for SDXL, SigLIP for Flux.1 Redux.
#[derive(Inputs)]
pub(crate) struct CLIPVisionLoader {
    /// The file or folder, in the folder `clip_vision` of the models.
    #[input(host_list = "models/clip_vision")]
    clip_name: String,
}

impl TypedNode for CLIPVisionLoader {
    const ID: &'static str = "CLIPVisionLoader";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load CLIP Vision";
    const STRICT: bool = false;
    type Output = Arc<ClipVision>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "clip_name", "clip_vision")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        load::part(ctx, "clip_vision", &[&self.clip_name], "", |paths, memory| {
            let loaded = models::load_vision(&paths[0], memory)?;
            Ok((ClipVision { net: loaded.net }, loaded.found))
        })
    }
}

use super::load;
use crate::types::ControlNetModel;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads a ControlNet of SD 1.x, 2.x or SDXL, or a T2I-Adapter of SD 1.x or SDXL.
#[derive(Inputs)]
pub(crate) struct ControlNetLoader {
    /// The file or folder, in the folder `controlnet` of the models.
    #[input(host_list = "models/controlnet")]
    control_net_name: String,
}

impl TypedNode for ControlNetLoader {
    const ID: &'static str = "ControlNetLoader";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load ControlNet Model";
    const STRICT: bool = false;
    type Output = Arc<ControlNetModel>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "control_net_name", "controlnet")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        load::part(ctx, "controlnet", &[&self.control_net_name], "", |paths, memory| {
            let loaded = models::load_controlnet(&paths[0], memory)?;
            Ok((ControlNetModel { net: loaded.net }, loaded.found))
        })
    }
}

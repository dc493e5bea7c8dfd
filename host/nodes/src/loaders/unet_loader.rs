use super::load;
use crate::types::Model;
use engine::{Context, Level, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads a denoising network from a file of its own, as Flux.1 comes.
#[derive(Inputs)]
pub(crate) struct UNETLoader {
    /// The file, in the folder `diffusion_models` (or `unet`) of the models.
    #[input(host_list = "models/diffusion_models")]
    unet_name: String,
    /// Weights are used as the file has them; ComfyUI's other choices only take less memory, at a loss.
    #[input(default = "default", options = ["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"])]
    weight_dtype: String,
}

impl TypedNode for UNETLoader {
    const ID: &'static str = "UNETLoader";
    const CATEGORY: &'static str = "advanced/loaders";
    const DISPLAY_NAME: &'static str = "Load Diffusion Model";
    const STRICT: bool = false;
    type Output = Arc<Model>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "unet_name", "diffusion_models")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        if self.weight_dtype != "default" {
            let message =
                format!("weight_dtype `{}` is not needed: weights stay as the file has them", self.weight_dtype);
            ctx.log(Level::Warn, &message);
        }
        load::part(ctx, "diffusion_models", &[&self.unet_name], "", |paths, memory| {
            let loaded = models::load_network(&paths[0], memory)?;
            let model = Model {
                network: loaded.network,
                family: loaded.family,
                name: self.unet_name.clone(),
                digest: loaded.digest,
                prediction: loaded.prediction,
                noise: loaded.noise,
                latent: loaded.family.latent,
                base_text: None,
                sampling: None,
                predicts: None,
                differential: None,
            };
            Ok((model, loaded.found))
        })
    }
}

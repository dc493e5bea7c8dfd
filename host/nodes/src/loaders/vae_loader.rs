use super::load;
use crate::types::VaeModel;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads an autoencoder from a file of its own.
#[derive(Inputs)]
pub(crate) struct VAELoader {
    /// The file, in the folder `vae` of the models.
    #[input(host_list = "models/vae")]
    vae_name: String,
}

impl TypedNode for VAELoader {
    const ID: &'static str = "VAELoader";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load VAE";
    const STRICT: bool = false;
    type Output = Arc<VaeModel>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "vae_name", "vae")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        load::part(ctx, "vae", &[&self.vae_name], "", |paths, memory| {
            let loaded = models::load_vae(&paths[0], memory)?;
            Ok((VaeModel { vae: loaded.vae }, loaded.found))
        })
    }
}

use super::load::{self, Parts};
use engine::{Context, TypedNode};
use spec::{Inputs, Values};

/// Loads a base from a folder as diffusers saves it: the network, its text encoder and its autoencoder.
#[derive(Inputs)]
pub(crate) struct DiffusersLoader {
    /// The folder, in the folder `diffusers` of the models.
    #[input(host_list = "models/diffusers")]
    model_path: String,
}

impl TypedNode for DiffusersLoader {
    const ID: &'static str = "DiffusersLoader";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load Diffusers Model";
    const STRICT: bool = false;
    type Output = Parts;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "model_path", "diffusers")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        load::base(ctx, "diffusers", &self.model_path)
    }
}

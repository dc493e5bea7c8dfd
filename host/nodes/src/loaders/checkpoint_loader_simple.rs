use super::load::{self, Parts};
use engine::{Context, TypedNode};
use spec::{Inputs, Values};

/// Loads a base from one file: the network, its text encoder and its autoencoder.
#[derive(Inputs)]
pub(crate) struct CheckpointLoaderSimple {
    /// The file, in the folder `checkpoints` of the models.
    #[input(host_list = "models/checkpoints")]
    ckpt_name: String,
}

impl TypedNode for CheckpointLoaderSimple {
    const ID: &'static str = "CheckpointLoaderSimple";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load Checkpoint";
    const STRICT: bool = false;
    type Output = Parts;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "ckpt_name", "checkpoints")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        load::base(ctx, "checkpoints", &self.ckpt_name)
    }
}

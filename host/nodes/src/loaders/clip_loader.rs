use super::load;
use crate::types::Clip;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads a text encoder from a file of its own.
#[derive(Inputs)]
pub(crate) struct CLIPLoader {
    /// The file, in the folder `text_encoders` (or `clip`) of the models.
    #[input(host_list = "models/text_encoders")]
    clip_name: String,
    /// The family that the encoders belong to.
    #[input(name = "type", default = "stable_diffusion", options = load::text_types())]
    kind: String,
}

impl TypedNode for CLIPLoader {
    const ID: &'static str = "CLIPLoader";
    const CATEGORY: &'static str = "advanced/loaders";
    const DISPLAY_NAME: &'static str = "Load CLIP";
    const STRICT: bool = false;
    type Output = Arc<Clip>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "clip_name", "text_encoders")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let names = [self.clip_name.as_str()];
        load::part(ctx, "text_encoders", &names, &self.kind, |paths, memory| {
            let loaded = models::load_texts(paths, &self.kind, memory)?;
            Ok((Clip { text: loaded.text, skip: None }, loaded.found))
        })
    }
}

use super::load;
use crate::types::Clip;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads two text encoders from files of their own, in any order: each is known by its shape.
#[derive(Inputs)]
pub(crate) struct DualCLIPLoader {
    /// The one file, in the folder `text_encoders` (or `clip`) of the models.
    #[input(host_list = "models/text_encoders")]
    clip_name1: String,
    /// The other file.
    #[input(host_list = "models/text_encoders")]
    clip_name2: String,
    /// The family that the encoders belong to.
    #[input(name = "type", default = "sdxl", options = load::text_types())]
    kind: String,
}

impl TypedNode for DualCLIPLoader {
    const ID: &'static str = "DualCLIPLoader";
    const CATEGORY: &'static str = "advanced/loaders";
    const DISPLAY_NAME: &'static str = "DualCLIPLoader";
    const STRICT: bool = false;
    type Output = Arc<Clip>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        let of = |input: &str| load::fingerprint(ctx, constants, input, "text_encoders");
        Ok(format!("{}\n{}", of("clip_name1")?, of("clip_name2")?))
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let names = [self.clip_name1.as_str(), self.clip_name2.as_str()];
        load::part(ctx, "text_encoders", &names, &self.kind, |paths, memory| {
            let loaded = models::load_texts(paths, &self.kind, memory)?;
            Ok((Clip { text: loaded.text, skip: None }, loaded.found))
        })
    }
}

use super::load;
use crate::types::Style;
use engine::{Context, TypedNode};
use spec::{Inputs, Values};
use std::sync::Arc;

/// Loads Flux.1 Redux, which makes texts of pictures.
#[derive(Inputs)]
pub(crate) struct StyleModelLoader {
    /// The file, in the folder `style_models` of the models.
    #[input(host_list = "models/style_models")]
    style_model_name: String,
}

impl TypedNode for StyleModelLoader {
    const ID: &'static str = "StyleModelLoader";
    const CATEGORY: &'static str = "loaders";
    const DISPLAY_NAME: &'static str = "Load Style Model";
    const STRICT: bool = false;
    type Output = Arc<Style>;

    fn fingerprint(ctx: &Context, constants: &Values) -> anyhow::Result<String> {
        load::fingerprint(ctx, constants, "style_model_name", "style_models")
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        load::part(ctx, "style_models", &[&self.style_model_name], "", |paths, memory| {
            let loaded = models::load_style_model(&paths[0], memory)?;
            Ok((Style { net: loaded.net }, loaded.found))
        })
    }
}

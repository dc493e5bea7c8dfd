use super::save_image::with_workflow;
use crate::types::ImageBatch;
use crate::{Host, files};
use data::{Codec, Digest};
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::{Value as Json, json};
use spec::Inputs;
use std::sync::Arc;

/// Shows pictures to whoever watches the run, without saving them.
#[derive(Inputs)]
pub(crate) struct PreviewImage {
    /// The pictures.
    pub(super) images: Arc<ImageBatch>,
}

impl TypedNode for PreviewImage {
    const ID: &'static str = "PreviewImage";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Preview Image";
    const OUTPUT_NODE: bool = true;
    const STRICT: bool = false;
    type Output = WithUi<()>;

    /// The files may have been cleared away.
    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        Ok(still_there(ctx, outputs, &["images"]))
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let (ui, shown) = (WithUi::new(()), show(ctx, &self.images, "ComfyUI")?);
        Ok(if shown.is_empty() { ui } else { ui.show("images", shown) })
    }
}

/// Writes pictures to the folder for what is only shown, and says where; previews where there is none.
pub(super) fn show(ctx: &Context, images: &ImageBatch, prefix: &str) -> anyhow::Result<Vec<Json>> {
    let mut shown = Vec::new();
    for (number, image) in images.images().iter().enumerate() {
        let Some(temp) = &ctx.services::<Host>().temp_dir else {
            ctx.preview(image.encode(Codec::Png, 100)?);
            continue;
        };
        let png = with_workflow(ctx, image.clone()).encode(Codec::Png, 100)?;
        // Named by what it shows, so that the same picture is one file.
        let digest = Digest::of(&png);
        let name = format!("{prefix}_temp_{}_{:05}_.png", &digest.as_str()[..12], number + 1);
        files::write(&temp.join(&name), &png)?;
        shown.push(json!({ "filename": name, "subfolder": "", "type": "temp" }));
    }
    Ok(shown)
}

/// Are all files of these lists of a node's output still there?
pub(super) fn still_there(ctx: &Context, outputs: &Outputs, lists: &[&str]) -> bool {
    let files = || lists.iter().filter_map(|list| outputs.ui.get(*list)?.as_array()).flatten();
    let Some(temp) = &ctx.services::<Host>().temp_dir else { return files().next().is_none() };
    lists.iter().any(|list| outputs.ui.contains_key(*list))
        && files().all(|f| f["filename"].as_str().is_some_and(|name| temp.join(name).exists()))
}

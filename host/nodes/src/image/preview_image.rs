use super::save_image::with_workflow;
use crate::types::ImageBatch;
use crate::{Host, files};
use data::{Codec, Digest};
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::json;
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
        let shown = outputs.ui.get("images").and_then(|i| i.as_array());
        let Some(temp) = &ctx.services::<Host>().temp_dir else { return Ok(shown.is_none()) };
        Ok(shown
            .is_some_and(|files| files.iter().all(|f| f["filename"].as_str().is_some_and(|n| temp.join(n).exists()))))
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let mut shown = Vec::new();
        for (number, image) in self.images.images().iter().enumerate() {
            let Some(temp) = &ctx.services::<Host>().temp_dir else {
                ctx.preview(image.encode(Codec::Png, 100)?);
                continue;
            };
            let png = with_workflow(ctx, image.clone()).encode(Codec::Png, 100)?;
            // Named by what it shows, so that the same picture is one file.
            let digest = Digest::of(&png);
            let name = format!("ComfyUI_temp_{}_{:05}_.png", &digest.as_str()[..12], number + 1);
            files::write(&temp.join(&name), &png)?;
            shown.push(json!({ "filename": name, "subfolder": "", "type": "temp" }));
        }
        let ui = WithUi::new(());
        Ok(if shown.is_empty() { ui } else { ui.show("images", shown) })
    }
}

use super::preview_image::{show, still_there};
use crate::types::ImageBatch;
use engine::{Context, Outputs, TypedNode, WithUi};
use spec::Inputs;
use std::sync::Arc;

/// Shows two pictures over each other, with a slider between them, to whoever watches the run.
#[derive(Inputs)]
pub(crate) struct ImageCompare {
    /// The picture on the left.
    image_a: Option<Arc<ImageBatch>>,
    /// The picture on the right.
    image_b: Option<Arc<ImageBatch>>,
}

impl TypedNode for ImageCompare {
    const ID: &'static str = "ImageCompare";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Image Compare";
    const OUTPUT_NODE: bool = true;
    const STRICT: bool = false;
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        Ok(still_there(ctx, outputs, &["a_images", "b_images"]))
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let shown = |images: Option<Arc<ImageBatch>>, prefix: &str| {
            images.map_or_else(|| Ok(Vec::new()), |images| show(ctx, &images, prefix))
        };
        let (a, b) = (shown(self.image_a, "comfy.compare.a")?, shown(self.image_b, "comfy.compare.b")?);
        Ok(WithUi::new(()).show("a_images", a).show("b_images", b))
    }
}

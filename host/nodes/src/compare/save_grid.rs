use super::draw::{describe, draw};
use crate::files;
use crate::image::with_workflow;
use crate::types::Grid;
use data::Codec;
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::sync::Arc;

/// Saves a grid as a labelled PNG, with the workflow that made it inside, and as JSON.
#[derive(Inputs)]
pub(crate) struct SaveGrid {
    /// The grid.
    grid: Arc<Grid>,
    /// Stem of the files below the output folder.
    #[input(default = "grid")]
    filename: String,
}

impl TypedNode for SaveGrid {
    const ID: &'static str = "SaveGrid";
    const CATEGORY: &'static str = "compare";
    const DISPLAY_NAME: &'static str = "Save grid";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> anyhow::Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let drawing = draw(&self.grid)?;
        let text = serde_json::to_vec_pretty(&describe(&self.grid, &drawing))?;
        let png = with_workflow(ctx, drawing.image).encode(Codec::Png, 100)?;
        let name = format!("{}.png", self.filename);
        let (png_path, png_hash) = files::save(ctx, &name, &png)?;
        let (json_path, json_hash) = files::save(ctx, &format!("{}.json", self.filename), &text)?;
        let (subfolder, filename) = name.rsplit_once('/').unwrap_or(("", &name));
        Ok(WithUi::new(())
            .show("images", json!([{ "filename": filename, "subfolder": subfolder, "type": "output" }]))
            .file(&png_path, png_hash.as_str())
            .file(&json_path, json_hash.as_str()))
    }
}

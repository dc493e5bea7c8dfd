use crate::chart::{self, Chart};
use crate::image::next_number;
use crate::types::LossMap;
use crate::{Host, files};
use anyhow::{Result, ensure};
use data::Codec;
use engine::{Context, Outputs, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::sync::{Arc, Mutex, PoisonError};

/// Draws the losses of a training, step by step with their running mean, shows the picture and saves it.
#[derive(Inputs)]
pub(crate) struct LossGraphNode {
    /// The losses.
    loss: Arc<LossMap>,
    /// Start of the picture's name below the output folder.
    #[input(default = "loss_graph")]
    filename_prefix: String,
}

/// Two nodes may count in one folder at the same time.
static COUNTING: Mutex<()> = Mutex::new(());

const SIZE: (usize, usize) = (840, 520);

impl TypedNode for LossGraphNode {
    const ID: &'static str = "LossGraphNode";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Plot Loss Graph";
    const OUTPUT_NODE: bool = true;
    const PERSISTENT: bool = true;
    const STRICT: bool = false;
    type Output = WithUi<()>;

    fn restore(ctx: &Context, outputs: &Outputs) -> Result<bool> {
        files::restore(ctx, outputs)
    }

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let losses = &self.loss.loss;
        ensure!(!losses.is_empty(), "the training has no steps");
        let numbered = |values: &[f64]| values.iter().enumerate().map(|(i, v)| (i as f64 + 1.0, *v)).collect();
        let lines = vec![numbered(losses), numbered(&train::smooth(losses))];
        let chart = Chart { title: "loss", x: "steps", lines, scientific: false };
        let png = chart::picture(&chart, SIZE.0, SIZE.1)?.encode(Codec::Png, 100)?;
        let _counting = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
        let host = ctx.services::<Host>();
        let prefix = files::filled_in(&self.filename_prefix, (SIZE.0 as u32, SIZE.1 as u32), (host.now)());
        let name = format!("{prefix}_{:05}_.png", next_number(&host.out_path(&prefix)?));
        let (path, digest) = files::save(ctx, &name, &png)?;
        ctx.preview(png);
        let (subfolder, filename) = name.rsplit_once('/').unwrap_or(("", &name));
        let shown = json!([{ "filename": filename, "subfolder": subfolder, "type": "output" }]);
        Ok(WithUi::new(()).file(&path, digest.as_str()).show("images", shown))
    }
}

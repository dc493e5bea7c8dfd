use super::jobs;
use crate::Host;
use crate::types::TrainingState;
use anyhow::Result;
use engine::{Context, TypedNode, WithUi};
use serde_json::{Value as Json, json};
use spec::{Inputs, Value, Values};
use std::path::PathBuf;
use std::sync::Arc;

/// The state of an earlier training, for `TrainLora` to go on from: with more steps, another learning rate, or other
/// pictures. What is trained must have the same shape.
#[derive(Inputs)]
pub(crate) struct LoadTrainingState {
    /// The training, as `anagama train list` shows it: the start of its id, or its name if only one has it. Or a
    /// folder with its states, or one state's file.
    training: String,
}

impl TypedNode for LoadTrainingState {
    const ID: &'static str = "LoadTrainingState";
    const CATEGORY: &'static str = "training";
    const DISPLAY_NAME: &'static str = "Load training state";
    const OUTPUT_NAMES: &'static [&'static str] = &["state", "step"];
    type Output = WithUi<(Arc<TrainingState>, u64)>;

    fn fingerprint(ctx: &Context, constants: &Values) -> Result<String> {
        match constants.get("training") {
            Some(Value::Data(Json::String(training))) => jobs::digest(&find(ctx, training)?),
            _ => Ok(String::new()),
        }
    }

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        let path = find(ctx, &self.training)?;
        let step = train::state_step(&path)?;
        let text = format!("{}: after step {step}", path.display());
        let state = TrainingState { path, step };
        Ok(WithUi::new((Arc::new(state), step)).show("text", json!([text])))
    }
}

/// The file of the newest state that is meant.
fn find(ctx: &Context, training: &str) -> Result<PathBuf> {
    let host = ctx.services::<Host>();
    let path = host.input_path(training);
    if path.is_file() {
        return Ok(path);
    }
    if path.is_dir() {
        return jobs::newest_state(&path);
    }
    jobs::newest_state(&jobs::find_training(host.store.root(), training)?.dir)
}

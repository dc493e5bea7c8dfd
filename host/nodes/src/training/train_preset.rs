use crate::types::{Model, TrainOptions};
use engine::{Context, Level, TypedNode, WithUi};
use serde_json::json;
use spec::Inputs;
use std::sync::Arc;

/// Settings to start from, by what is to be learned and the family of the base. They give way to whatever is set by hand.
#[derive(Inputs)]
pub(crate) struct TrainPreset {
    /// The base that is trained on.
    model: Arc<Model>,
    /// What is to be learned.
    #[input(default = "character", options = train::presets::GOALS.iter().map(|g| g.name).collect::<Vec<_>>())]
    goal: String,
    /// Settings that are passed on with these.
    #[input(optional)]
    options: Option<Arc<TrainOptions>>,
}

impl TypedNode for TrainPreset {
    const ID: &'static str = "TrainPreset";
    const CATEGORY: &'static str = "training";
    const DISPLAY_NAME: &'static str = "Training preset";
    const OUTPUT_NAMES: &'static [&'static str] = &["options"];
    type Output = WithUi<Arc<TrainOptions>>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let place = format!("node {} ({})", ctx.node_id, Self::ID);
        let mut options = self.options.map(|o| (*o).clone()).unwrap_or_default();
        let changes = train::presets::find(&self.goal, self.model.family.name)?;
        let mut lines: Vec<String> = changes.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        for (key, value) in changes {
            options.preset(&key, value, &place)?;
        }
        let goal = train::presets::GOALS.iter().find(|goal| goal.name == self.goal);
        for advice in goal.map_or(&[][..], |goal| goal.advice) {
            ctx.log(Level::Info, advice);
            lines.push((*advice).to_owned());
        }
        Ok(WithUi::new(Arc::new(options)).show("text", json!([lines.join("\n")])))
    }
}

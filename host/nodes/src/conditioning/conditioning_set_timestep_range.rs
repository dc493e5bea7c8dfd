use crate::types::Conditioning;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets a conditioning lead a part of the steps only.
#[derive(Inputs)]
pub(crate) struct ConditioningSetTimestepRange {
    /// The conditioning.
    conditioning: Arc<Conditioning>,
    /// Where it begins to lead, from 0 (all noise) to 1 (no noise).
    #[input(default = 0.0, range = 0.0..=1.0, step = 0.001)]
    start: f64,
    /// Where it ends.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.001)]
    end: f64,
}

impl TypedNode for ConditioningSetTimestepRange {
    const ID: &'static str = "ConditioningSetTimestepRange";
    const CATEGORY: &'static str = "advanced/conditioning";
    const DISPLAY_NAME: &'static str = "Conditioning (Set Timestep Range)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(self.conditioning.map(|one| one.range = (self.start, self.end))))
    }
}

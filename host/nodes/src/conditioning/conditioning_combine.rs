use crate::types::Conditioning;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets two conditionings lead the same picture: what both ask for is averaged, where both apply.
#[derive(Inputs)]
pub(crate) struct ConditioningCombine {
    /// The one.
    conditioning_1: Arc<Conditioning>,
    /// The other.
    conditioning_2: Arc<Conditioning>,
}

impl TypedNode for ConditioningCombine {
    const ID: &'static str = "ConditioningCombine";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Conditioning (Combine)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(Conditioning(self.conditioning_1.0.iter().chain(&self.conditioning_2.0).cloned().collect())))
    }
}

use crate::types::Conditioning;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Replaces a prompt with zeros: a negative prompt that asks for nothing, as some bases were trained with.
#[derive(Inputs)]
pub(crate) struct ConditioningZeroOut {
    /// The conditioning.
    conditioning: Arc<Conditioning>,
}

impl TypedNode for ConditioningZeroOut {
    const ID: &'static str = "ConditioningZeroOut";
    const CATEGORY: &'static str = "advanced/conditioning";
    const DISPLAY_NAME: &'static str = "ConditioningZeroOut";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let mut zeros = Conditioning::clone(&self.conditioning);
        for one in &mut zeros.0 {
            one.states = one.states.zeros_like()?;
            one.pooled = one.pooled.as_ref().map(|p| p.zeros_like()).transpose()?;
        }
        Ok(Arc::new(zeros))
    }
}

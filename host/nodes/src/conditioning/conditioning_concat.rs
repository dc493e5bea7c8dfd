use super::pairs::{only_first, same_width};
use crate::types::Conditioning;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts the text of one conditioning behind another, as if the prompt had one chunk more.
#[derive(Inputs)]
pub(crate) struct ConditioningConcat {
    /// What comes first; its pooled text, sizes and places are kept.
    conditioning_to: Arc<Conditioning>,
    /// What is put behind; its first prompt counts.
    conditioning_from: Arc<Conditioning>,
}

impl TypedNode for ConditioningConcat {
    const ID: &'static str = "ConditioningConcat";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Conditioning (Concat)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        only_first(ctx, &self.conditioning_from);
        let behind = &self.conditioning_from.first()?.states;
        let mut whole = Conditioning::clone(&self.conditioning_to);
        for one in &mut whole.0 {
            same_width(&one.states, behind)?;
            // (1, n + m, d)
            one.states = Tensor::cat(&[&one.states, behind], 1)?;
        }
        Ok(Arc::new(whole))
    }
}

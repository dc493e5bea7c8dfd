use super::pairs::{only_first, same_width};
use crate::types::Conditioning;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Mixes two prompts: token by token, and their pooled texts.
#[derive(Inputs)]
pub(crate) struct ConditioningAverage {
    /// The one; its sizes and places are kept.
    conditioning_to: Arc<Conditioning>,
    /// The other; its first prompt counts.
    conditioning_from: Arc<Conditioning>,
    /// Share of the one; the other has the rest.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    conditioning_to_strength: f64,
}

impl TypedNode for ConditioningAverage {
    const ID: &'static str = "ConditioningAverage";
    const CATEGORY: &'static str = "conditioning";
    const DISPLAY_NAME: &'static str = "Conditioning (Average)";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        only_first(ctx, &self.conditioning_from);
        let from = self.conditioning_from.first()?;
        let share = self.conditioning_to_strength;
        let mix =
            |to: &Tensor, from: &Tensor| -> anyhow::Result<Tensor> { Ok(((to * share)? + (from * (1.0 - share))?)?) };
        let mut mixed = Conditioning::clone(&self.conditioning_to);
        for one in &mut mixed.0 {
            same_width(&one.states, &from.states)?;
            // A shorter text goes on with zeros, a longer one is cut, as in ComfyUI.
            let (n, m) = (one.states.dim(1)?, from.states.dim(1)?);
            let other = from.states.narrow(1, 0, n.min(m))?.pad_with_zeros(1, 0, n.saturating_sub(m))?;
            one.states = mix(&one.states, &other)?;
            one.pooled = match (one.pooled.as_ref(), &from.pooled) {
                (Some(to), Some(from)) => Some(mix(to, from)?),
                (to, from) => from.as_ref().or(to).cloned(),
            };
        }
        Ok(Arc::new(mixed))
    }
}

use crate::types::{Conditioning, Guidance, Guider, Model};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Leads a model by two prompts with strengths of their own.
#[derive(Inputs)]
pub(crate) struct DualCFGGuider {
    /// The network that denoises.
    model: Arc<Model>,
    /// What to show.
    cond1: Arc<Conditioning>,
    /// What to start from, on the way from the negative prompt.
    cond2: Arc<Conditioning>,
    /// What to avoid.
    negative: Arc<Conditioning>,
    /// How strongly the first prompt leads, from the second.
    #[input(default = 8.0, range = 0.0..=100.0, step = 0.1)]
    cfg_conds: f64,
    /// How strongly the second prompt leads, from the negative one.
    #[input(default = 8.0, range = 0.0..=100.0, step = 0.1)]
    cfg_cond2_negative: f64,
    /// Whether the second strength is for both ways (nested).
    #[input(default = "regular", options = ["regular", "nested"])]
    style: String,
}

impl TypedNode for DualCFGGuider {
    const ID: &'static str = "DualCFGGuider";
    const CATEGORY: &'static str = "sampling/custom_sampling/guiders";
    const DISPLAY_NAME: &'static str = "Dual CFG Guider";
    const STRICT: bool = false;
    type Output = Arc<Guider>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let guidance = Guidance::Dual {
            first: self.cond1,
            second: self.cond2,
            negative: self.negative,
            first_cfg: self.cfg_conds,
            second_cfg: self.cfg_cond2_negative,
            nested: self.style == "nested",
        };
        Ok(Arc::new(Guider { model: self.model, guidance }))
    }
}

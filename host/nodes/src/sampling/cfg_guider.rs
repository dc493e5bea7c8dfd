use crate::types::{Conditioning, Guidance, Guider, Model};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Leads a model away from one prompt, towards another.
#[derive(Inputs)]
pub(crate) struct CFGGuider {
    /// The network that denoises.
    model: Arc<Model>,
    /// What to show.
    positive: Arc<Conditioning>,
    /// What to avoid.
    negative: Arc<Conditioning>,
    /// How strongly the prompt leads. 1: the negative prompt is not used.
    #[input(default = 8.0, range = 0.0..=100.0, step = 0.1)]
    cfg: f64,
}

impl TypedNode for CFGGuider {
    const ID: &'static str = "CFGGuider";
    const CATEGORY: &'static str = "sampling/custom_sampling/guiders";
    const DISPLAY_NAME: &'static str = "CFG Guider";
    const STRICT: bool = false;
    type Output = Arc<Guider>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let guidance = Guidance::Classifier { positive: self.positive, negative: self.negative, cfg: self.cfg };
        Ok(Arc::new(Guider { model: self.model, guidance }))
    }
}

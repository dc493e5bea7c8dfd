use crate::types::{Conditioning, Guidance, Guider, Model};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Leads a model by one prompt alone; for models with a guidance of their own.
#[derive(Inputs)]
pub(crate) struct BasicGuider {
    /// The network that denoises.
    model: Arc<Model>,
    /// What to show.
    conditioning: Arc<Conditioning>,
}

impl TypedNode for BasicGuider {
    const ID: &'static str = "BasicGuider";
    const CATEGORY: &'static str = "sampling/custom_sampling/guiders";
    const DISPLAY_NAME: &'static str = "Basic Guider";
    const STRICT: bool = false;
    type Output = Arc<Guider>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(Guider { model: self.model, guidance: Guidance::Plain(self.conditioning) }))
    }
}

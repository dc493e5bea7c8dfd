use super::batch::joined;
use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Puts latents into one batch; the second are brought to the size of the first.
#[derive(Inputs)]
pub(crate) struct LatentBatch {
    /// The first.
    samples1: Arc<Latent>,
    /// The others.
    samples2: Arc<Latent>,
}

impl TypedNode for LatentBatch {
    const ID: &'static str = "LatentBatch";
    const CATEGORY: &'static str = "latent/batch";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(joined(&[self.samples1, self.samples2], |i| format!("samples{}", i + 1))?))
    }
}

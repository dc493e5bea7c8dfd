use super::batch::like;
use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Takes one latent away from another.
#[derive(Inputs)]
pub(crate) struct LatentSubtract {
    /// The first.
    samples1: Arc<Latent>,
    /// The second; it is brought to the size of the first.
    samples2: Arc<Latent>,
}

impl TypedNode for LatentSubtract {
    const ID: &'static str = "LatentSubtract";
    const CATEGORY: &'static str = "latent/advanced";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let second = like(&self.samples1.samples, &self.samples2.samples)?;
        Ok(Arc::new(self.samples1.with((&self.samples1.samples - second)?)))
    }
}

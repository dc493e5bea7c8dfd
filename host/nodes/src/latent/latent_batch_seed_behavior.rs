use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Says whether the latents of a batch get noise of their own or all the same.
#[derive(Inputs)]
pub(crate) struct LatentBatchSeedBehavior {
    /// The latents.
    samples: Arc<Latent>,
    /// Which.
    #[input(default = "fixed", options = ["random", "fixed"])]
    seed_behavior: String,
}

impl TypedNode for LatentBatchSeedBehavior {
    const ID: &'static str = "LatentBatchSeedBehavior";
    const CATEGORY: &'static str = "latent/advanced";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let batch_index = match self.seed_behavior.as_str() {
            "fixed" => {
                let first = self.samples.numbers()?.first().copied().unwrap_or(0);
                Some(vec![first; self.samples.samples.dim(0)?])
            }
            _ => None,
        };
        Ok(Arc::new(Latent { batch_index, ..(*self.samples).clone() }))
    }
}

use super::batch::repeat_to;
use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Repeats latents, to sample several pictures from each; every copy gets noise of its own.
#[derive(Inputs)]
pub(crate) struct RepeatLatentBatch {
    /// The latents.
    samples: Arc<Latent>,
    /// How often, the first time included.
    #[input(default = 1, range = 1..=64)]
    amount: u32,
}

impl TypedNode for RepeatLatentBatch {
    const ID: &'static str = "RepeatLatentBatch";
    const CATEGORY: &'static str = "latent/batch";
    const DISPLAY_NAME: &'static str = "Repeat Latent Batch";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let amount = self.amount as usize;
        let noise_mask = match &self.samples.noise_mask {
            Some(mask) if mask.dim(0)? > 1 => {
                Some(repeat_to(mask, self.samples.samples.dim(0)?)?.repeat((amount, 1, 1, 1))?)
            }
            same => same.clone(),
        };
        let batch_index = self.samples.batch_index.as_ref().map(|numbers| {
            // Numbers of further copies begin behind those of the first.
            let (low, high) = (numbers.iter().min().copied().unwrap_or(0), numbers.iter().max().copied().unwrap_or(0));
            (0..amount).flat_map(|i| numbers.iter().map(move |n| n + i * (high - low + 1))).collect()
        });
        let samples = self.samples.samples.repeat((amount, 1, 1, 1))?;
        Ok(Arc::new(Latent { samples, noise_mask, batch_index }))
    }
}

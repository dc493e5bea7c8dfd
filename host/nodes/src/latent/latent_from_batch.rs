use super::batch::repeat_to;
use crate::types::Latent;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Takes pictures out of a batch; sampled on, they get the noise that they had in the batch.
#[derive(Inputs)]
pub(crate) struct LatentFromBatch {
    /// The latents.
    samples: Arc<Latent>,
    /// The first to take, counted from 0.
    #[input(default = 0, range = 0..=4095)]
    batch_index: u32,
    /// How many to take.
    #[input(default = 1, range = 1..=4096)]
    length: u32,
}

impl TypedNode for LatentFromBatch {
    const ID: &'static str = "LatentFromBatch";
    const CATEGORY: &'static str = "latent/batch";
    const DISPLAY_NAME: &'static str = "Latent From Batch";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let count = self.samples.samples.dim(0)?;
        let from = (self.batch_index as usize).min(count - 1);
        let length = (self.length as usize).min(count - from);
        let noise_mask = match &self.samples.noise_mask {
            Some(mask) if mask.dim(0)? > 1 => Some(repeat_to(mask, count)?.narrow(0, from, length)?),
            same => same.clone(),
        };
        let numbers = self.samples.numbers()?[from..from + length].to_vec();
        let samples = self.samples.samples.narrow(0, from, length)?;
        Ok(Arc::new(Latent { samples, noise_mask, batch_index: Some(numbers) }))
    }
}

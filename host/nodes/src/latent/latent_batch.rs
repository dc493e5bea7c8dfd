use crate::image::resize;
use crate::types::Latent;
use anyhow::bail;
use candle_core::Tensor;
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
        let first = &self.samples1.samples;
        let (_, c, h, w) = first.dims4()?;
        let mut second = self.samples2.samples.clone();
        if second.dim(1)? != c {
            bail!("samples1 has {c} channels, samples2 has {}: they belong to different families", second.dim(1)?);
        }
        if second.dims()[2..] != [h, w] {
            second = resize(&second, models::interpolation("bilinear")?, h, w, true)?;
        }
        let numbers = [self.samples1.numbers()?, self.samples2.numbers()?].concat();
        let samples = Tensor::cat(&[first, &second], 0)?;
        Ok(Arc::new(Latent { samples, noise_mask: self.samples1.noise_mask.clone(), batch_index: Some(numbers) }))
    }
}

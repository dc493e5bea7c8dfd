use super::walk::{Path, Start, walk};
use crate::types::{Guider, Latent, Noise, Sampler, Sigmas};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Denoises latents with noise, guidance, a method and noise levels of your own.
#[derive(Inputs)]
pub(crate) struct SamplerCustomAdvanced {
    /// Where the noise comes from.
    noise: Arc<Noise>,
    /// The model with what leads it.
    guider: Arc<Guider>,
    /// The method that walks along the noise levels.
    sampler: Arc<Sampler>,
    /// The noise levels.
    sigmas: Arc<Sigmas>,
    /// What to start from.
    latent_image: Arc<Latent>,
}

impl TypedNode for SamplerCustomAdvanced {
    const ID: &'static str = "SamplerCustomAdvanced";
    const CATEGORY: &'static str = "sampling/custom_sampling";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["output", "denoised_output"];
    type Output = (Arc<Latent>, Arc<Latent>);

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let Guider { model, guidance } = &*self.guider;
        let start = Start::new(model, &self.latent_image, *self.noise)?;
        let path = Path { sampler: self.sampler.0, sigmas: self.sigmas.0.clone() };
        let done = walk(ctx, model, guidance, &path, start, (0, 0))?;
        Ok((Arc::new(self.latent_image.with(done.samples)), Arc::new(self.latent_image.with(done.denoised))))
    }
}

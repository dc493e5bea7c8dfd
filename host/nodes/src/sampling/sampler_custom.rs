use super::walk::{Path, Start, walk};
use crate::types::{Conditioning, Guidance, Latent, Model, Noise, Sampler, Sigmas};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Denoises latents with a method and noise levels of your own.
#[derive(Inputs)]
pub(crate) struct SamplerCustom {
    /// The network that denoises.
    model: Arc<Model>,
    /// Put noise on the latent; off if an earlier sampler left some.
    #[input(default = true)]
    add_noise: bool,
    /// Seed of the noise.
    #[input(default = 0, seed)]
    noise_seed: u64,
    /// How strongly the prompt leads. 1: the negative prompt is not used.
    #[input(default = 8.0, range = 0.0..=100.0, step = 0.1)]
    cfg: f64,
    /// What to show.
    positive: Arc<Conditioning>,
    /// What to avoid.
    negative: Arc<Conditioning>,
    /// The method that walks along the noise levels.
    sampler: Arc<Sampler>,
    /// The noise levels.
    sigmas: Arc<Sigmas>,
    /// What to start from.
    latent_image: Arc<Latent>,
}

impl TypedNode for SamplerCustom {
    const ID: &'static str = "SamplerCustom";
    const CATEGORY: &'static str = "sampling/custom_sampling";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["output", "denoised_output"];
    type Output = (Arc<Latent>, Arc<Latent>);

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let guidance = Guidance::Classifier { positive: self.positive, negative: self.negative, cfg: self.cfg };
        let mut start = Start::new(&self.model, &self.latent_image, Noise::Random { seed: self.noise_seed })?;
        if !self.add_noise {
            start.noise.start = start.noise.start.zeros_like()?;
        }
        let path = Path { sampler: self.sampler.0, sigmas: self.sigmas.0.clone() };
        let done = walk(ctx, &self.model, &guidance, &path, start, (0, 0))?;
        Ok((Arc::new(self.latent_image.with(done.samples)), Arc::new(self.latent_image.with(done.denoised))))
    }
}

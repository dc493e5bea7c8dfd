use super::walk::{Start, Walk, sampler_names, scheduler_names, walk};
use crate::types::{Conditioning, Guidance, Latent, Model, Noise};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Denoises latents over a part of the steps, so that several samplers can share the way.
#[derive(Inputs)]
pub(crate) struct KSamplerAdvanced {
    /// The network that denoises.
    model: Arc<Model>,
    /// Put noise on the latent; off if an earlier sampler left some.
    #[input(default = "enable", options = ["enable", "disable"])]
    add_noise: String,
    /// Seed of the noise. Equal seeds give the noise that ComfyUI starts from.
    #[input(default = 0, seed)]
    noise_seed: u64,
    /// How many steps the whole way has.
    #[input(default = 20, range = 1..=10_000)]
    steps: u32,
    /// How strongly the prompt leads. 1: the negative prompt is not used.
    #[input(default = 8.0, range = 0.0..=100.0, step = 0.1)]
    cfg: f64,
    /// The method that walks along the noise levels.
    #[input(default = "euler", options = sampler_names())]
    sampler_name: String,
    /// How the noise levels are spaced.
    #[input(default = "normal", options = scheduler_names())]
    scheduler: String,
    /// What to show.
    positive: Arc<Conditioning>,
    /// What to avoid.
    negative: Arc<Conditioning>,
    /// What to start from.
    latent_image: Arc<Latent>,
    /// The first step that is walked.
    #[input(default = 0, range = 0..=10_000)]
    start_at_step: u32,
    /// The first step that is no longer walked.
    #[input(default = 10_000, range = 0..=10_000)]
    end_at_step: u32,
    /// Leave the noise of the steps that are not walked, for the next sampler.
    #[input(default = "disable", options = ["disable", "enable"])]
    return_with_leftover_noise: String,
}

impl TypedNode for KSamplerAdvanced {
    const ID: &'static str = "KSamplerAdvanced";
    const CATEGORY: &'static str = "sampling";
    const DISPLAY_NAME: &'static str = "KSampler (Advanced)";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let path = Walk {
            sampler: &self.sampler_name,
            scheduler: &self.scheduler,
            steps: self.steps as usize,
            denoise: 1.0,
            start: self.start_at_step as usize,
            end: self.end_at_step as usize,
            finish: self.return_with_leftover_noise == "disable",
        }
        .path(&self.model)?;
        let guidance = Guidance::Classifier { positive: self.positive, negative: self.negative, cfg: self.cfg };
        let mut start = Start::new(&self.model, &self.latent_image, Noise::Random { seed: self.noise_seed })?;
        if self.add_noise == "disable" {
            // The noise of the steps stays that of the seed.
            start.noise.start = start.noise.start.zeros_like()?;
        }
        let done = walk(ctx, &self.model, &guidance, &path, start, (0, 0))?;
        Ok(Arc::new(self.latent_image.with(done.samples)))
    }
}

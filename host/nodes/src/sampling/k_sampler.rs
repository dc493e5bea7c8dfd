use super::walk::{Start, Walk, sampler_names, scheduler_names, walk};
use crate::types::{Conditioning, Guidance, Latent, Model, Noise};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Denoises latents, led by a prompt.
#[derive(Inputs)]
pub(crate) struct KSampler {
    /// The network that denoises.
    model: Arc<Model>,
    /// Seed of the noise. Equal seeds give the noise that ComfyUI starts from.
    #[input(default = 0, seed)]
    seed: u64,
    /// How many steps; more are slower and, up to about 30, better.
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
    /// How much of the latent is made anew; below 1 keeps its composition.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    denoise: f64,
}

impl TypedNode for KSampler {
    const ID: &'static str = "KSampler";
    const CATEGORY: &'static str = "sampling";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let path = Walk {
            sampler: &self.sampler_name,
            scheduler: &self.scheduler,
            steps: self.steps as usize,
            denoise: self.denoise,
            start: 0,
            end: usize::MAX,
            finish: true,
        }
        .path(&self.model)?;
        let guidance = Guidance::Classifier { positive: self.positive, negative: self.negative, cfg: self.cfg };
        let start = Start::new(&self.model, &self.latent_image, Noise::Random { seed: self.seed })?;
        let done = walk(ctx, &self.model, &guidance, &path, start, (0, 0))?;
        Ok(Arc::new(self.latent_image.with(done.samples)))
    }
}

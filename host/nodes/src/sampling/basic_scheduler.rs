use super::walk::scheduler_names;
use crate::types::{Model, Sigmas};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Noise levels for a model, spaced by a schedule.
#[derive(Inputs)]
pub(crate) struct BasicScheduler {
    /// The model whose noise levels they are.
    model: Arc<Model>,
    /// How the noise levels are spaced.
    #[input(default = "normal", options = scheduler_names())]
    scheduler: String,
    /// How many steps.
    #[input(default = 20, range = 1..=10_000)]
    steps: u32,
    /// How much of the latent is made anew; below 1 the last steps of a longer way are taken.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    denoise: f64,
}

impl TypedNode for BasicScheduler {
    const ID: &'static str = "BasicScheduler";
    const CATEGORY: &'static str = "sampling/custom_sampling/schedulers";
    const STRICT: bool = false;
    type Output = Arc<Sigmas>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        // A sampler that leaves a sigma out does so in KSampler alone: here the list is the user's own.
        let (plain, schedule) = (sample::sampler("euler")?, sample::schedule(&self.scheduler)?);
        let table = self.model.sigma_table();
        let sigmas = sample::list_of_sigmas(plain, schedule, &table, self.steps as usize, self.denoise)?;
        Ok(Arc::new(Sigmas(sigmas)))
    }
}

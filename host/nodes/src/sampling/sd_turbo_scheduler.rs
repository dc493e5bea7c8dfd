use crate::types::{Model, Sigmas};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Noise levels for models that were distilled to a few steps.
#[derive(Inputs)]
pub(crate) struct SDTurboScheduler {
    /// The model whose noise levels they are.
    model: Arc<Model>,
    /// How many steps.
    #[input(default = 1, range = 1..=10)]
    steps: u32,
    /// How much of the latent is made anew.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    denoise: f64,
}

impl TypedNode for SDTurboScheduler {
    const ID: &'static str = "SDTurboScheduler";
    const CATEGORY: &'static str = "sampling/custom_sampling/schedulers";
    const STRICT: bool = false;
    type Output = Arc<Sigmas>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let table = self.model.sigma_table();
        // Of the timesteps 999, 899, … 99.
        let first = 10 - (10.0 * self.denoise) as usize;
        let timesteps = (0..10).rev().map(|i| f64::from(i) * 100.0 + 99.0).skip(first).take(self.steps as usize);
        Ok(Arc::new(Sigmas(timesteps.map(|t| table.sigma(t)).chain([0.0]).collect())))
    }
}

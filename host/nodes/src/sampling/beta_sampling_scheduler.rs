use crate::types::{Model, Sigmas};
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Noise levels of a model at quantiles of a beta distribution.
#[derive(Inputs)]
pub(crate) struct BetaSamplingScheduler {
    /// The model whose noise levels they are.
    model: Arc<Model>,
    /// How many steps.
    #[input(default = 20, range = 1..=10_000)]
    steps: u32,
    /// Below 1: more steps at low noise.
    #[input(default = 0.6, range = 0.0..=50.0, step = 0.01)]
    alpha: f64,
    /// Below 1: more steps at high noise.
    #[input(default = 0.6, range = 0.0..=50.0, step = 0.01)]
    beta: f64,
}

impl TypedNode for BetaSamplingScheduler {
    const ID: &'static str = "BetaSamplingScheduler";
    const CATEGORY: &'static str = "sampling/custom_sampling/schedulers";
    const STRICT: bool = false;
    type Output = Arc<Sigmas>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        if self.alpha <= 0.0 || self.beta <= 0.0 {
            bail!("expected alpha and beta above 0, found {} and {}", self.alpha, self.beta);
        }
        let table = self.model.sigma_table();
        Ok(Arc::new(Sigmas(sample::beta_of_shape(&table, self.steps as usize, self.alpha, self.beta))))
    }
}

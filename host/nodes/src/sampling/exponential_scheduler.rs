use crate::types::Sigmas;
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Noise levels that are evenly spaced in the logarithm of sigma, without a model.
#[derive(Inputs)]
pub(crate) struct ExponentialScheduler {
    /// How many steps.
    #[input(default = 20, range = 1..=10_000)]
    steps: u32,
    /// The highest noise level. The default is that of SD 1.x and XL.
    #[input(default = 14.614642, range = 0.0..=5000.0, step = 0.01)]
    sigma_max: f64,
    /// The lowest noise level.
    #[input(default = 0.0291675, range = 0.0..=5000.0, step = 0.01)]
    sigma_min: f64,
}

impl TypedNode for ExponentialScheduler {
    const ID: &'static str = "ExponentialScheduler";
    const CATEGORY: &'static str = "sampling/custom_sampling/schedulers";
    const STRICT: bool = false;
    type Output = Arc<Sigmas>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        if self.sigma_min <= 0.0 || self.sigma_max <= 0.0 {
            bail!("expected sigmas above 0, found {} to {}", self.sigma_max, self.sigma_min);
        }
        Ok(Arc::new(Sigmas(sample::exponential_between(self.sigma_max, self.sigma_min, self.steps as usize))))
    }
}

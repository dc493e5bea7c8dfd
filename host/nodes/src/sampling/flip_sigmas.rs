use crate::types::Sigmas;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Turns a list of noise levels around, to go from a picture to noise.
#[derive(Inputs)]
pub(crate) struct FlipSigmas {
    /// The noise levels.
    sigmas: Arc<Sigmas>,
}

impl TypedNode for FlipSigmas {
    const ID: &'static str = "FlipSigmas";
    const CATEGORY: &'static str = "sampling/custom_sampling/sigmas";
    const STRICT: bool = false;
    type Output = Arc<Sigmas>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let mut sigmas: Vec<f64> = self.sigmas.0.iter().rev().copied().collect();
        // There is no way up from 0.
        if let Some(first) = sigmas.first_mut().filter(|s| **s == 0.0) {
            *first = 0.0001;
        }
        Ok(Arc::new(Sigmas(sigmas)))
    }
}

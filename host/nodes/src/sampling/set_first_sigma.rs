use crate::types::Sigmas;
use anyhow::bail;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Changes the noise level that a list starts at.
#[derive(Inputs)]
pub(crate) struct SetFirstSigma {
    /// The noise levels.
    sigmas: Arc<Sigmas>,
    /// The new first one.
    #[input(default = 136.0, range = 0.0..=20_000.0, step = 0.001)]
    sigma: f64,
}

impl TypedNode for SetFirstSigma {
    const ID: &'static str = "SetFirstSigma";
    const CATEGORY: &'static str = "sampling/custom_sampling/sigmas";
    const STRICT: bool = false;
    type Output = Arc<Sigmas>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let mut sigmas = self.sigmas.0.clone();
        let Some(first) = sigmas.first_mut() else { bail!("expected a list of sigmas, found an empty one") };
        *first = self.sigma;
        Ok(Arc::new(Sigmas(sigmas)))
    }
}

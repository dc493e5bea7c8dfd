use crate::types::Sigmas;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Splits a list of noise levels, so that two samplers can share the way.
#[derive(Inputs)]
pub(crate) struct SplitSigmas {
    /// The noise levels.
    sigmas: Arc<Sigmas>,
    /// How many steps the first part has.
    #[input(default = 0, range = 0..=10_000)]
    step: u32,
}

impl TypedNode for SplitSigmas {
    const ID: &'static str = "SplitSigmas";
    const CATEGORY: &'static str = "sampling/custom_sampling/sigmas";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["high_sigmas", "low_sigmas"];
    type Output = (Arc<Sigmas>, Arc<Sigmas>);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let all = &self.sigmas.0;
        let step = (self.step as usize).min(all.len());
        let high = all[..(step + 1).min(all.len())].to_vec();
        Ok((Arc::new(Sigmas(high)), Arc::new(Sigmas(all[step..].to_vec()))))
    }
}

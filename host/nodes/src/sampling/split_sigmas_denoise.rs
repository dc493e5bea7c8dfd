use crate::types::Sigmas;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Splits a list of noise levels by the share that the second part makes anew.
#[derive(Inputs)]
pub(crate) struct SplitSigmasDenoise {
    /// The noise levels.
    sigmas: Arc<Sigmas>,
    /// The second part's share of the steps.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    denoise: f64,
}

impl TypedNode for SplitSigmasDenoise {
    const ID: &'static str = "SplitSigmasDenoise";
    const CATEGORY: &'static str = "sampling/custom_sampling/sigmas";
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["high_sigmas", "low_sigmas"];
    type Output = (Arc<Sigmas>, Arc<Sigmas>);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let all = &self.sigmas.0;
        let steps = all.len().saturating_sub(1);
        let second = ((steps as f64 * self.denoise).round_ties_even() as usize).min(steps);
        // Without a second part ComfyUI's slice takes nothing for the first.
        let high = if second == 0 { Vec::new() } else { all[..all.len() - second].to_vec() };
        let low = all[all.len() - (second + 1).min(all.len())..].to_vec();
        Ok((Arc::new(Sigmas(high)), Arc::new(Sigmas(low))))
    }
}

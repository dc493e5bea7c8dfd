use crate::types::Conditioning;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Sets the guidance that networks with distilled guidance are told, as Flux.1-dev.
#[derive(Inputs)]
pub(crate) struct FluxGuidance {
    /// The conditioning.
    conditioning: Arc<Conditioning>,
    /// How strongly the prompt leads.
    #[input(default = 3.5, range = 0.0..=100.0, step = 0.1)]
    guidance: f64,
}

impl TypedNode for FluxGuidance {
    const ID: &'static str = "FluxGuidance";
    const CATEGORY: &'static str = "advanced/conditioning/flux";
    const DISPLAY_NAME: &'static str = "FluxGuidance";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(self.conditioning.map(|one| one.guidance = Some(self.guidance))))
    }
}

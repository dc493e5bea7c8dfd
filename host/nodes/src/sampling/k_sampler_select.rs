use super::walk::sampler_names;
use crate::types::Sampler;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Names a method that walks along the noise levels.
#[derive(Inputs)]
pub(crate) struct KSamplerSelect {
    /// The method.
    #[input(default = "euler", options = sampler_names())]
    sampler_name: String,
}

impl TypedNode for KSamplerSelect {
    const ID: &'static str = "KSamplerSelect";
    const CATEGORY: &'static str = "sampling/custom_sampling/samplers";
    const STRICT: bool = false;
    type Output = Arc<Sampler>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(Sampler(sample::sampler(&self.sampler_name)?)))
    }
}

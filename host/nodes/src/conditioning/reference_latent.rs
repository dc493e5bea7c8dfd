use crate::types::{Conditioning, Latent};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets Flux.1 Kontext read a picture beside the one that it makes; several nodes in a row are several pictures. Other
/// models do not see it.
#[derive(Inputs)]
pub(crate) struct ReferenceLatent {
    /// The prompts.
    conditioning: Arc<Conditioning>,
    /// The picture, encoded.
    latent: Option<Arc<Latent>>,
}

impl TypedNode for ReferenceLatent {
    const ID: &'static str = "ReferenceLatent";
    const CATEGORY: &'static str = "advanced/conditioning/edit_models";
    const STRICT: bool = false;
    type Output = Arc<Conditioning>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let Some(latent) = self.latent else { return Ok(self.conditioning) };
        Ok(Arc::new(self.conditioning.map(|one| one.references.push(latent.samples.clone()))))
    }
}

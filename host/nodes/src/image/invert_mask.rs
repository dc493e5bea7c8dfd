use crate::types::Mask;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Swaps inside and outside of a mask.
#[derive(Inputs)]
pub(crate) struct InvertMask {
    /// The mask.
    mask: Arc<Mask>,
}

impl TypedNode for InvertMask {
    const ID: &'static str = "InvertMask";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        Ok(Arc::new(Mask((1.0 - &self.mask.0)?)))
    }
}

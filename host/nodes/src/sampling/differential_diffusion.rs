use crate::types::Model;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lets the greys of a noise mask say how much is changed: the darker a place, the later it begins to be made anew.
#[derive(Inputs)]
pub(crate) struct DifferentialDiffusion {
    /// The model to change.
    model: Arc<Model>,
    /// Below 1, the mask itself is mixed in; 0 counts as 1.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    strength: f64,
}

impl TypedNode for DifferentialDiffusion {
    const ID: &'static str = "DifferentialDiffusion";
    const CATEGORY: &'static str = "_for_testing";
    const DISPLAY_NAME: &'static str = "Differential Diffusion";
    const STRICT: bool = false;
    type Output = Arc<Model>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let mut model = Model::clone(&self.model);
        model.differential = Some(self.strength);
        Ok(Arc::new(model))
    }
}

use crate::types::Model;
use anyhow::bail;
use engine::{Context, TypedNode};
use sample::SigmaTable;
use spec::Inputs;
use std::sync::Arc;

/// Shifts a flow model's noise levels by the size of the picture.
#[derive(Inputs)]
pub(crate) struct ModelSamplingFlux {
    /// The model to change.
    model: Arc<Model>,
    /// The shift at 1024×1024.
    #[input(default = 1.15, range = 0.0..=100.0, step = 0.01)]
    max_shift: f64,
    /// The shift at 256×256.
    #[input(default = 0.5, range = 0.0..=100.0, step = 0.01)]
    base_shift: f64,
    /// Width of the picture, in pixels.
    #[input(default = 1024, range = 16..=16384, step = 8)]
    width: u32,
    /// Height of the picture, in pixels.
    #[input(default = 1024, range = 16..=16384, step = 8)]
    height: u32,
}

impl TypedNode for ModelSamplingFlux {
    const ID: &'static str = "ModelSamplingFlux";
    const CATEGORY: &'static str = "advanced/model";
    const STRICT: bool = false;
    type Output = Arc<Model>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        if self.model.prediction != models::Prediction::Flow {
            bail!("expected a flow model such as Flux.1, found {}", self.model.family.name);
        }
        // A token is 16 by 16 pixels; 256 and 4096 of them are the sizes of the two shifts.
        let tokens = f64::from(self.width) * f64::from(self.height) / 256.0;
        let slope = (self.max_shift - self.base_shift) / (4096.0 - 256.0);
        let shift = self.base_shift + (tokens - 256.0) * slope;
        let mut model = Model::clone(&self.model);
        model.sampling = Some(SigmaTable::flow(shift));
        Ok(Arc::new(model))
    }
}

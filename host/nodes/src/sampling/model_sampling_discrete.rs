use crate::types::Model;
use anyhow::bail;
use engine::{Context, TypedNode};
use models::Prediction;
use spec::Inputs;
use std::sync::Arc;

/// Says what a model predicts, where its file does not, and stretches its noise levels to pure noise.
#[derive(Inputs)]
pub(crate) struct ModelSamplingDiscrete {
    /// The model to change.
    model: Arc<Model>,
    /// What the network predicts: the noise, or the velocity.
    #[input(default = "eps", options = ["eps", "v_prediction"])]
    sampling: String,
    /// It was trained with zero terminal signal-to-noise ratio.
    #[input(default = false)]
    zsnr: bool,
}

/// ComfyUI's last ᾱ of a table that ends in pure noise.
const FLOOR: f64 = 4.897_345_189_085_343_5e-8;

impl TypedNode for ModelSamplingDiscrete {
    const ID: &'static str = "ModelSamplingDiscrete";
    const CATEGORY: &'static str = "advanced/model";
    const STRICT: bool = false;
    type Output = Arc<Model>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        if self.model.prediction == Prediction::Flow {
            bail!(
                "expected a model that was trained on noise added in steps, found the flow model {}",
                self.model.family.name
            );
        }
        let mut model = Model::clone(&self.model);
        model.prediction = if self.sampling == "eps" { Prediction::Epsilon } else { Prediction::Velocity };
        (model.sampling, model.predicts) = (None, None);
        if self.zsnr {
            model.sampling = Some(model.sigma_table().zero_terminal_snr(FLOOR));
        }
        Ok(Arc::new(model))
    }
}

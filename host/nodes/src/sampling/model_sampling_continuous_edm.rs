use crate::types::Model;
use anyhow::bail;
use engine::{Context, TypedNode};
use models::Prediction;
use sample::SigmaTable;
use spec::Inputs;
use std::sync::Arc;

/// Says of a model that it was trained on every noise level between two, and what it predicts.
#[derive(Inputs)]
pub(crate) struct ModelSamplingContinuousEDM {
    /// The model to change.
    model: Arc<Model>,
    /// What the network predicts: the velocity, what EDM has (for data of a standard deviation of 0.5), or the noise.
    /// Playground's latents and Cosmos are not known here.
    #[input(default = "v_prediction", options = ["v_prediction", "edm", "eps"])]
    sampling: String,
    /// The highest noise level.
    #[input(default = 120.0, range = 0.0..=1000.0, step = 0.001)]
    sigma_max: f64,
    /// The lowest noise level.
    #[input(default = 0.002, range = 0.0..=1000.0, step = 0.001)]
    sigma_min: f64,
}

impl TypedNode for ModelSamplingContinuousEDM {
    const ID: &'static str = "ModelSamplingContinuousEDM";
    const CATEGORY: &'static str = "advanced/model";
    const STRICT: bool = false;
    type Output = Arc<Model>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        if self.model.prediction == Prediction::Flow {
            bail!("expected a model that was trained on added noise, found the flow model {}", self.model.family.name);
        }
        if self.sigma_min <= 0.0 || self.sigma_max <= self.sigma_min {
            bail!(
                "expected a sigma_min above 0 and a sigma_max above that, found {} and {}",
                self.sigma_min,
                self.sigma_max
            );
        }
        let mut model = Model::clone(&self.model);
        model.sampling = Some(SigmaTable::continuous(self.sigma_min, self.sigma_max));
        model.predicts = Some(match self.sampling.as_str() {
            "edm" => sample::Prediction::Edm { data: 0.5 },
            "eps" => sample::Prediction::Epsilon,
            _ => sample::Prediction::V,
        });
        Ok(Arc::new(model))
    }
}

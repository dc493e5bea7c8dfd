use crate::types::Mask;
use candle_core::DType;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Makes a mask black and white.
#[derive(Inputs)]
pub(crate) struct ThresholdMask {
    /// The mask.
    mask: Arc<Mask>,
    /// What is above becomes white.
    #[input(default = 0.5, range = 0.0..=1.0, step = 0.01)]
    value: f64,
}

impl TypedNode for ThresholdMask {
    const ID: &'static str = "ThresholdMask";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let white = self.mask.0.gt(self.value as f32)?.to_dtype(DType::F32)?;
        Ok(Arc::new(Mask(white)))
    }
}

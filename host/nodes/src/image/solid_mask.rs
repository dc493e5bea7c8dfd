use crate::types::Mask;
use candle_core::{Device, Tensor};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// A mask of one value.
#[derive(Inputs)]
pub(crate) struct SolidMask {
    /// The value.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    value: f64,
    /// Width in pixels.
    #[input(default = 512, range = 1..=16384)]
    width: u32,
    /// Height in pixels.
    #[input(default = 512, range = 1..=16384)]
    height: u32,
}

impl TypedNode for SolidMask {
    const ID: &'static str = "SolidMask";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let shape = (1, self.height as usize, self.width as usize);
        Ok(Arc::new(Mask(Tensor::full(self.value as f32, shape, &Device::Cpu)?)))
    }
}

use super::resize::same_size;
use crate::types::{ImageBatch, Mask};
use candle_core::{Device, Tensor};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Makes a mask of the pixels that have a colour.
#[derive(Inputs)]
pub(crate) struct ImageColorToMask {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// The colour: 65536 · red + 256 · green + blue.
    #[input(default = 0, range = 0..=16777215)]
    color: u32,
}

impl TypedNode for ImageColorToMask {
    const ID: &'static str = "ImageColorToMask";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let pictures = same_size(&self.image)?;
        let (b, _, h, w) = pictures.dims4()?;
        // (b, h, w, 3)
        let values = pictures.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1::<f32>()?;
        let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round_ties_even() as u32;
        let is = |p: &[f32]| byte(p[0]) << 16 | byte(p[1]) << 8 | byte(p[2]);
        let mask: Vec<f32> = values.chunks_exact(3).map(|p| f32::from(u8::from(is(p) == self.color))).collect();
        Ok(Arc::new(Mask(Tensor::from_vec(mask, (b, h, w), &Device::Cpu)?)))
    }
}

use super::resize::way;
use crate::types::ImageBatch;
use anyhow::{Result, bail};
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Mixes two pictures.
#[derive(Inputs)]
pub(crate) struct ImageBlend {
    /// The pictures below.
    image1: Arc<ImageBatch>,
    /// The pictures above; they are brought to the size of those below.
    image2: Arc<ImageBatch>,
    /// The share of the mixed picture, 0 to 1.
    #[input(default = 0.5, range = 0.0..=1.0, step = 0.01)]
    blend_factor: f64,
    /// How their colours are mixed.
    #[input(default = "normal", options = MODES)]
    blend_mode: String,
}

const MODES: [&str; 6] = ["normal", "multiply", "screen", "overlay", "soft_light", "difference"];

impl TypedNode for ImageBlend {
    const ID: &'static str = "ImageBlend";
    const CATEGORY: &'static str = "image/postprocessing";
    const DISPLAY_NAME: &'static str = "Image Blend";
    const STRICT: bool = false;
    type Output = Arc<ImageBatch>;

    fn run(self, _: &Context) -> Result<Self::Output> {
        let (below, above) = (self.image1.pixels()?, self.image2.pixels()?);
        if below.len() != above.len() && below.len() != 1 && above.len() != 1 {
            bail!("expected as many pictures, found {} and {}", below.len(), above.len());
        }
        let mut mixed = Vec::new();
        for n in 0..below.len().max(above.len()) {
            let (a, mut b) = (below[n.min(below.len() - 1)].clone(), above[n.min(above.len() - 1)].clone());
            let (_, h, w) = a.dims3()?;
            if b.dims() != a.dims() {
                b = way("bicubic")?.resize(&b.unsqueeze(0)?, h, w, true)?.squeeze(0)?;
            }
            let blend = mix(&self.blend_mode, &a, &b)?;
            mixed.push(((a * (1.0 - self.blend_factor))? + (blend * self.blend_factor)?)?.clamp(0f32, 1f32)?);
        }
        Ok(Arc::new(ImageBatch::from_pixels(mixed)?))
    }
}

/// The blend modes of the W3C's «Compositing and Blending»; soft light as there, with its two roots.
fn mix(mode: &str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let screen = |a: &Tensor, b: &Tensor| 1.0 - ((1.0 - a)? * (1.0 - b)?)?;
    Ok(match mode {
        "multiply" => (a * b)?,
        "screen" => screen(a, b)?,
        "overlay" => a.le(0.5)?.where_cond(&((a * b)? * 2.0)?, &(1.0 - (((1.0 - a)? * (1.0 - b)?)? * 2.0)?)?)?,
        "soft_light" => {
            let cubic = ((((a * 16.0)? - 12.0)? * a)? + 4.0)?;
            let root = a.le(0.25)?.where_cond(&(cubic * a)?, &a.sqrt()?)?;
            let dark = (a - (((1.0 - (b * 2.0)?)? * a)? * (1.0 - a)?)?)?;
            let light = (a + (((b * 2.0)? - 1.0)? * (root - a)?)?)?;
            b.le(0.5)?.where_cond(&dark, &light)?
        }
        "difference" => (a - b)?,
        _ => b.clone(),
    })
}

use crate::types::{ImageBatch, Mask};
use anyhow::bail;
use candle_core::{Device, Tensor};
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Adds grey borders to pictures, and a mask of what is to be painted.
#[derive(Inputs)]
pub(crate) struct ImagePadForOutpaint {
    /// The pictures.
    image: Arc<ImageBatch>,
    /// Pixels to add at the left.
    #[input(default = 0, range = 0..=16384, step = 8)]
    left: u32,
    /// Pixels to add above.
    #[input(default = 0, range = 0..=16384, step = 8)]
    top: u32,
    /// Pixels to add at the right.
    #[input(default = 0, range = 0..=16384, step = 8)]
    right: u32,
    /// Pixels to add below.
    #[input(default = 0, range = 0..=16384, step = 8)]
    bottom: u32,
    /// Width of the mask's soft edge within the picture, in pixels.
    #[input(default = 40, range = 0..=16384)]
    feathering: u32,
}

impl TypedNode for ImagePadForOutpaint {
    const ID: &'static str = "ImagePadForOutpaint";
    const CATEGORY: &'static str = "image";
    const DISPLAY_NAME: &'static str = "Pad Image for Outpainting";
    const STRICT: bool = false;
    type Output = (Arc<ImageBatch>, Arc<Mask>);

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let sides = [self.left, self.top, self.right, self.bottom].map(|n| n as usize);
        let [left, top, right, bottom] = sides;
        let padded = self.image.each(|picture| {
            // Grey is 0.5: what is added is that much more than nothing.
            let around = (picture - 0.5)?.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?;
            Ok((around + 0.5)?)
        })?;
        let Some(first) = self.image.images().first() else { bail!("no pictures to pad") };
        let (h, w) = (first.height as usize, first.width as usize);
        let kept = feather(h, w, sides, self.feathering as usize);
        let kept = Tensor::from_vec(kept, (1, h, w), &Device::Cpu)?;
        let inner = (kept - 1.0)?.pad_with_zeros(1, top, bottom)?.pad_with_zeros(2, left, right)?;
        Ok((Arc::new(padded), Arc::new(Mask((inner + 1.0)?))))
    }
}

/// The mask over the old picture (h, w): 0 within, growing with the square towards the sides that were added to.
fn feather(h: usize, w: usize, [left, top, right, bottom]: [usize; 4], feathering: usize) -> Vec<f32> {
    let mut mask = vec![0f32; h * w];
    if feathering == 0 || feathering * 2 >= h || feathering * 2 >= w {
        return mask;
    }
    let far = |added: usize, distance: usize, side: usize| if added == 0 { side } else { distance };
    for y in 0..h {
        for x in 0..w {
            let vertical = far(top, y, h).min(far(bottom, h - y, h));
            let distance = vertical.min(far(left, x, w)).min(far(right, w - x, w));
            if distance < feathering {
                let v = (feathering - distance) as f32 / feathering as f32;
                mask[y * w + x] = v * v;
            }
        }
    }
    mask
}

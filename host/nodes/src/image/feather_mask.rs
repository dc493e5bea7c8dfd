use crate::types::Mask;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Makes the borders of a mask soft.
#[derive(Inputs)]
pub(crate) struct FeatherMask {
    /// The mask.
    mask: Arc<Mask>,
    /// Width of the soft border at the left, in pixels.
    #[input(default = 0, range = 0..=16384)]
    left: u32,
    /// At the top.
    #[input(default = 0, range = 0..=16384)]
    top: u32,
    /// At the right.
    #[input(default = 0, range = 0..=16384)]
    right: u32,
    /// At the bottom.
    #[input(default = 0, range = 0..=16384)]
    bottom: u32,
}

impl TypedNode for FeatherMask {
    const ID: &'static str = "FeatherMask";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (_, h, w) = self.mask.0.dims3()?;
        let device = self.mask.0.device();
        let rows = Tensor::from_vec(shares(h, self.top, self.bottom), (1, h, 1), device)?;
        let cols = Tensor::from_vec(shares(w, self.left, self.right), (1, 1, w), device)?;
        Ok(Arc::new(Mask(self.mask.0.broadcast_mul(&rows)?.broadcast_mul(&cols)?)))
    }
}

/// Shares along a side. At its end they begin one pixel behind the border, and the first share falls on the first
/// pixel of the side: ComfyUI counts with a negative index there, and its pictures are the measure.
fn shares(side: usize, start: u32, end: u32) -> Vec<f32> {
    let mut shares = vec![1f32; side];
    let (start, end) = ((start as usize).min(side), (end as usize).min(side));
    for (i, share) in shares.iter_mut().enumerate().take(start) {
        *share *= (i + 1) as f32 / start as f32;
    }
    for i in 0..end {
        shares[(side - i) % side] *= (i + 1) as f32 / end as f32;
    }
    shares
}

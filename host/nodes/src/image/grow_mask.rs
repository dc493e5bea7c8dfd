use crate::types::Mask;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Makes the inside of a mask larger or smaller.
#[derive(Inputs)]
pub(crate) struct GrowMask {
    /// The mask.
    mask: Arc<Mask>,
    /// By how many pixels; below 0 it shrinks.
    #[input(default = 0, range = -16384..=16384)]
    expand: i32,
    /// Cut the corners.
    #[input(default = true)]
    tapered_corners: bool,
}

impl TypedNode for GrowMask {
    const ID: &'static str = "GrowMask";
    const CATEGORY: &'static str = "mask";
    const STRICT: bool = false;
    type Output = Arc<Mask>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let (b, h, w) = self.mask.0.dims3()?;
        let mut values = self.mask.0.flatten_all()?.to_vec1::<f32>()?;
        for _ in 0..self.expand.unsigned_abs() {
            ctx.check_cancelled()?;
            values = step(&values, (h, w), self.expand > 0, !self.tapered_corners);
        }
        Ok(Arc::new(Mask(Tensor::from_vec(values, (b, h, w), self.mask.0.device())?)))
    }
}

/// The largest (or smallest) of each pixel and its neighbours, in each of the masks (h, w).
fn step(values: &[f32], (h, w): (usize, usize), grow: bool, corners: bool) -> Vec<f32> {
    let pick = if grow { f32::max } else { f32::min };
    let mut out = Vec::with_capacity(values.len());
    for mask in values.chunks_exact(h * w) {
        for y in 0..h {
            for x in 0..w {
                let mut best = mask[y * w + x];
                for ny in y.saturating_sub(1)..(y + 2).min(h) {
                    for nx in x.saturating_sub(1)..(x + 2).min(w) {
                        if corners || ny == y || nx == x {
                            best = pick(best, mask[ny * w + nx]);
                        }
                    }
                }
                out.push(best);
            }
        }
    }
    out
}

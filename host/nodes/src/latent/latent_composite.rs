use super::batch::repeat_to;
use crate::types::Latent;
use anyhow::bail;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Lays latents over others.
#[derive(Inputs)]
pub(crate) struct LatentComposite {
    /// What lies below.
    samples_to: Arc<Latent>,
    /// What is laid over it.
    samples_from: Arc<Latent>,
    /// Where its left side comes, in pixels of the picture.
    #[input(default = 0, range = 0..=16384, step = 8)]
    x: u32,
    /// Where its upper side comes, in pixels.
    #[input(default = 0, range = 0..=16384, step = 8)]
    y: u32,
    /// Width of its soft edge, in pixels.
    #[input(default = 0, range = 0..=16384, step = 8)]
    feather: u32,
}

impl TypedNode for LatentComposite {
    const ID: &'static str = "LatentComposite";
    const CATEGORY: &'static str = "latent";
    const DISPLAY_NAME: &'static str = "Latent Composite";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let (below, over) = (&self.samples_to.samples, &self.samples_from.samples);
        let (b, c, h, w) = below.dims4()?;
        if over.dim(1)? != c {
            bail!("samples_to has {c} channels, samples_from has {}: they belong to different families", over.dim(1)?);
        }
        let (x, y, feather) = (self.x as usize / 8, self.y as usize / 8, self.feather as usize / 8);
        if x >= w || y >= h {
            bail!("the place ({}, {}) lies outside of {}×{} pixels", self.x, self.y, w * 8, h * 8);
        }
        let (oh, ow) = (over.dim(2)?, over.dim(3)?);
        let (height, width) = (oh.min(h - y), ow.min(w - x));
        // Edges that meet the border of the picture stay hard.
        let rows = edge(height, feather, y != 0, y + oh < h);
        let cols = edge(width, feather, x != 0, x + ow < w);
        let share: Vec<f32> = rows.iter().flat_map(|r| cols.iter().map(move |c| r * c)).collect();
        let share = Tensor::from_vec(share, (1, 1, height, width), below.device())?;
        let over = repeat_to(&over.narrow(2, 0, height)?.narrow(3, 0, width)?, b)?.broadcast_mul(&share)?;
        // (b, c, h, w): the piece and its share, with zeros around them.
        let around = |t: &Tensor| t.pad_with_zeros(2, y, h - y - height)?.pad_with_zeros(3, x, w - x - width);
        let kept = below.broadcast_mul(&(1.0 - around(&share)?)?)?;
        Ok(Arc::new(self.samples_to.with((kept + around(&over)?)?)))
    }
}

/// Shares along a side, growing from the soft ends.
fn edge(side: usize, feather: usize, soft_start: bool, soft_end: bool) -> Vec<f32> {
    let mut shares = vec![1f32; side];
    for t in 0..feather.min(side) {
        let share = (t + 1) as f32 / feather as f32;
        if soft_end {
            shares[side - 1 - t] *= share;
        }
        if soft_start {
            shares[t] *= share;
        }
    }
    shares
}

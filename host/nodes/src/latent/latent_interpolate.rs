use super::batch::like;
use crate::types::Latent;
use candle_core::Tensor;
use engine::{Context, TypedNode};
use spec::Inputs;
use std::sync::Arc;

/// Mixes the directions of two latents and, apart from them, their lengths.
#[derive(Inputs)]
pub(crate) struct LatentInterpolate {
    /// The first.
    samples1: Arc<Latent>,
    /// The second; it is brought to the size of the first.
    samples2: Arc<Latent>,
    /// The share of the first, 0 to 1.
    #[input(default = 1.0, range = 0.0..=1.0, step = 0.01)]
    ratio: f64,
}

impl TypedNode for LatentInterpolate {
    const ID: &'static str = "LatentInterpolate";
    const CATEGORY: &'static str = "latent/advanced";
    const STRICT: bool = false;
    type Output = Arc<Latent>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let first = &self.samples1.samples;
        let second = like(first, &self.samples2.samples)?;
        let mix = |a: &Tensor, b: &Tensor| (a * self.ratio)? + (b * (1.0 - self.ratio))?;
        let ((d1, m1), (d2, m2)) = (parts(first)?, parts(&second)?);
        let (direction, _) = parts(&mix(&d1, &d2)?)?;
        Ok(Arc::new(self.samples1.with(direction.broadcast_mul(&mix(&m1, &m2)?)?)))
    }
}

/// Direction (b, c, h, w) and length (b, 1, h, w) of each pixel; a pixel without length has no direction. ComfyUI drops
/// the axis of the channels, which is the same for one picture and mixes the pictures of a batch.
fn parts(x: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
    let length = x.sqr()?.sum_keepdim(1)?.sqrt()?;
    let none = length.eq(0.0)?.to_dtype(x.dtype())?;
    Ok((x.broadcast_div(&(&length + none)?)?, length))
}

//! Pictures of the work so far.

use crate::types::Model;
use anyhow::Result;
use candle_core::Tensor;
use data::{Codec, Image, PixelFormat};
use engine::Context;
use std::time::{Duration, Instant};

/// Previews go out at most this often.
const INTERVAL: Duration = Duration::from_millis(250);

/// Pixels of a preview for each pixel of a latent, both ways.
const ENLARGE: usize = 4;

/// Shows what clean guesses look like, roughly.
pub(super) struct Previews<'a> {
    ctx: &'a Context,
    model: &'a Model,
    last: Option<Instant>,
}

impl<'a> Previews<'a> {
    pub(super) fn new(ctx: &'a Context, model: &'a Model) -> Self {
        Self { ctx, model, last: None }
    }

    /// The first picture of a batch of guesses (b, c, h, w), scaled as samplers have them.
    pub(super) fn show(&mut self, guess: &Tensor) -> Result<()> {
        if self.last.is_some_and(|at| at.elapsed() < INTERVAL) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        self.ctx.preview(picture(self.model, guess)?.encode(Codec::Png, 100)?);
        Ok(())
    }
}

fn picture(model: &Model, guess: &Tensor) -> Result<Image> {
    let rough = model.latent.picture(&guess.narrow(0, 0, 1)?)?;
    let (_, _, h, w) = rough.dims4()?;
    let values = rough.squeeze(0)?.permute((1, 2, 0))?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
    let (tall, wide) = (h * ENLARGE, w * ENLARGE);
    let pixels = (0..tall * wide)
        .flat_map(|i| {
            let at = (i / wide / ENLARGE * w + i % wide / ENLARGE) * 3;
            &values[at..at + 3]
        })
        .map(|v| ((v + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0)
        .map(|v| v as u8)
        .collect::<Vec<u8>>();
    Ok(Image::new(wide as u32, tall as u32, PixelFormat::Rgb8, pixels)?)
}

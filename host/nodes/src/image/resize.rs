//! Sizes of pictures, for all nodes that change them.

use crate::types::{ImageBatch, Mask};
use anyhow::{Result, bail};
use candle_core::Tensor;
use data::{Filter, Fit, ResizeSpec};
use engine::Context;
use models::Interpolation;
use std::sync::Arc;

/// A way to change a size.
pub(crate) enum Way {
    /// By torch's rules, as ComfyUI.
    Torch(&'static Interpolation),
    /// By Pillow's, on 8-bit pictures.
    Lanczos,
}

const LANCZOS: &str = "lanczos";

/// Names for the input `upscale_method` of pictures.
pub(super) fn way_names() -> Vec<&'static str> {
    // Bislerp mixes directions, which colours have none of.
    models::INTERPOLATIONS.iter().map(|i| i.name).filter(|n| *n != "bislerp").chain([LANCZOS]).collect()
}

pub(super) fn way(name: &str) -> Result<Way> {
    if name == LANCZOS { Ok(Way::Lanczos) } else { Ok(Way::Torch(models::interpolation(name)?)) }
}

/// Each picture in the (width, height) that `size` says for its own; None leaves it as it is.
pub(super) fn resize_each(
    ctx: &Context,
    batch: &ImageBatch,
    method: &str,
    crop: bool,
    size: impl Fn(usize, usize) -> Option<(usize, usize)>,
) -> Result<Arc<ImageBatch>> {
    let way = way(method)?;
    let resized = batch.each(|picture| {
        ctx.check_cancelled()?;
        let (_, _, h, w) = picture.dims4()?;
        match size(w, h) {
            None => Ok(picture),
            Some((width, height)) => way.resize(&picture, height, width, crop),
        }
    })?;
    Ok(Arc::new(resized))
}

/// A size times a factor, rounded as Python does.
pub(super) fn scaled(width: usize, height: usize, factor: f64) -> (usize, usize) {
    let side = |n: usize| (n as f64 * factor).round_ties_even() as usize;
    (side(width), side(height))
}

/// The size whose longer side is `length`.
pub(super) fn longer_side((w, h): (usize, usize), length: usize) -> (usize, usize) {
    let other = |a: usize, b: usize| (a as f64 / b as f64 * length as f64).round_ties_even() as usize;
    match h.cmp(&w) {
        std::cmp::Ordering::Greater => (other(w, h), length),
        std::cmp::Ordering::Less => (length, other(h, w)),
        std::cmp::Ordering::Equal => (length, length),
    }
}

/// The size whose shorter side is `length`.
pub(super) fn shorter_side((w, h): (usize, usize), length: usize) -> (usize, usize) {
    let other = |a: usize, b: usize| (a as f64 / b as f64 * length as f64).round_ties_even() as usize;
    if h < w { (other(w, h), length) } else { (length, other(h, w)) }
}

impl Way {
    /// x (b, 3, h, w), or a mask (b, 1, h, w), at another size; what does not fit the new shape is cut off if `crop`, else all is stretched.
    pub(super) fn resize(&self, x: &Tensor, height: usize, width: usize, crop: bool) -> Result<Tensor> {
        if height == 0 || width == 0 {
            bail!("expected at least one pixel a side, found {width}×{height}");
        }
        match self {
            Self::Torch(way) => resize(x, way, height, width, crop),
            Self::Lanczos if x.dim(1)? == 1 => {
                Ok(self.resize(&x.repeat((1, 3, 1, 1))?, height, width, crop)?.narrow(1, 0, 1)?)
            }
            Self::Lanczos => {
                let x = if crop { centre(x, height, width)? } else { x.clone() };
                let pictures = (0..x.dim(0)?).map(|i| x.get(i)).collect::<candle_core::Result<_>>()?;
                let (width, height) = (width as u32, height as u32);
                let spec = ResizeSpec { width, height, fit: Fit::Stretch, filter: Filter::Lanczos3, pad_color: 0 };
                let images = ImageBatch::from_pixels(pictures)?;
                let images = images.images().iter().map(|i| i.resize(&spec)).collect::<Result<Vec<_>, _>>()?;
                Ok(Tensor::stack(&ImageBatch::new(images).pixels()?, 0)?)
            }
        }
    }
}

/// x (b, c, h, w) at another size (ComfyUI, `comfy.utils.common_upscale`).
pub(crate) fn resize(x: &Tensor, way: &Interpolation, height: usize, width: usize, crop: bool) -> Result<Tensor> {
    let x = if crop { centre(x, height, width)? } else { x.clone() };
    Ok(way.resize(&x, height, width)?)
}

/// The part of x in the middle that has the shape of height × width.
fn centre(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let (old, new) = (w as f64 / h as f64, width as f64 / height as f64);
    let border = |side: usize, share: f64| ((side as f64 - side as f64 * share) / 2.0).round_ties_even() as usize;
    let (left, top) =
        (if old > new { border(w, new / old) } else { 0 }, if old < new { border(h, old / new) } else { 0 });
    Ok(x.narrow(2, top, h - 2 * top)?.narrow(3, left, w - 2 * left)?.contiguous()?)
}

/// x (…, h, w) with borders of a value; what is inside keeps its exact values.
pub(super) fn bordered(
    x: &Tensor,
    (top, bottom): (usize, usize),
    (left, right): (usize, usize),
    value: f64,
) -> Result<Tensor> {
    let around = |t: &Tensor| {
        let (rows, columns) = (t.rank() - 2, t.rank() - 1);
        t.pad_with_zeros(rows, top, bottom)?.pad_with_zeros(columns, left, right)
    };
    let outside = (1.0 - around(&x.ones_like()?)?)?;
    Ok((around(x)? + (outside * value)?)?)
}

/// All pictures of a batch as one tensor (b, 3, h, w), 0…1.
pub(crate) fn same_size(batch: &ImageBatch) -> Result<Tensor> {
    let images = batch.images();
    let Some(first) = images.first() else { bail!("no pictures") };
    if let Some(other) = images.iter().find(|i| (i.width, i.height) != (first.width, first.height)) {
        bail!(
            "expected pictures of one size, found {}×{} and {}×{}; use ImageScale first",
            first.width,
            first.height,
            other.width,
            other.height
        );
    }
    Ok(Tensor::stack(&batch.pixels()?, 0)?)
}

/// Lays `over` (n, c, sh, sw) over `below` (b, c, h, w) at (x, y), where the mask is white (ComfyUI,
/// `comfy_extras.nodes_mask.composite`).
pub(crate) fn lay_over(
    below: &Tensor,
    over: &Tensor,
    (x, y): (usize, usize),
    stretch: bool,
    mask: Option<&Mask>,
) -> Result<Tensor> {
    let (b, c, h, w) = below.dims4()?;
    if over.dim(1)? != c {
        bail!("the destination has {c} channels, the source has {}", over.dim(1)?);
    }
    let bilinear = models::interpolation("bilinear")?;
    let over = if stretch { bilinear.resize(over, h, w)? } else { over.clone() };
    let (_, _, sh, sw) = over.dims4()?;
    let (height, width) = (sh.min(h.saturating_sub(y)), sw.min(w.saturating_sub(x)));
    if height == 0 || width == 0 {
        return Ok(below.clone());
    }
    let to_batch =
        |t: &Tensor| -> Result<Tensor> { Ok(t.repeat((b.div_ceil(t.dim(0)?.max(1)), 1, 1, 1))?.narrow(0, 0, b)?) };
    let share = match mask {
        None => over.narrow(1, 0, 1)?.ones_like()?,
        Some(mask) => bilinear.resize(&mask.0.unsqueeze(1)?, sh, sw)?,
    };
    let cut = |t: &Tensor| -> Result<Tensor> { Ok(to_batch(t)?.narrow(2, 0, height)?.narrow(3, 0, width)?) };
    let share = cut(&share)?;
    let piece = cut(&over)?.broadcast_mul(&share)?;
    // (b, _, h, w): the piece and its share, with zeros around them.
    let around = |t: &Tensor| t.pad_with_zeros(2, y, h - y - height)?.pad_with_zeros(3, x, w - x - width);
    Ok((below.broadcast_mul(&(1.0 - around(&share)?)?)? + around(&piece)?)?)
}

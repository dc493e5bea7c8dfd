//! Sizes of pictures, for all nodes that change them.

use crate::types::ImageBatch;
use anyhow::{Result, bail};
use candle_core::Tensor;
use data::{Filter, Fit, ResizeSpec};
use models::Interpolation;

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

impl Way {
    /// x (b, 3, h, w) at another size; what does not fit the new shape is cut off if `crop`, else all is stretched.
    pub(super) fn resize(&self, x: &Tensor, height: usize, width: usize, crop: bool) -> Result<Tensor> {
        if height == 0 || width == 0 {
            bail!("expected at least one pixel a side, found {width}×{height}");
        }
        match self {
            Self::Torch(way) => resize(x, way, height, width, crop),
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

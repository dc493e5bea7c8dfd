//! Convolutions as matrix products of what each output pixel sees, on channels-last images. The input's gradient is the
//! convolution of the output's gradient, spread by the stride, with the kernel turned by half a circle.

use super::super::conv::Window;
use super::super::frozen::Frozen;
use super::super::given::{given, given2};
use super::{check, rows};
use candle_core::{Result, Tensor, bail};
use std::sync::Arc;

/// As [`crate::ops::conv2d_frozen`].
pub(in crate::ops) fn conv2d_frozen(x: &Tensor, layer: &Arc<Frozen>, window: Window) -> Result<Tensor> {
    check(x)?;
    let (size, kernel) = (Size::of(x)?, layer.kernel());
    let mut y = convolve(&x.detach(), &layer.widened()?, window)?;
    if let Some(bias) = layer.bias_on_device()? {
        y = y.broadcast_add(bias)?;
    }
    let layer = layer.clone();
    given(y, x, move |grad| Ok([Some(input_gradient(grad, &layer.widened()?, size, kernel, window)?)]))
}

/// As [`crate::ops::conv2d`].
pub(in crate::ops) fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: Window) -> Result<Tensor> {
    check(x)?;
    let (out, inp, kh, kw) = weight.dims4()?;
    let (xs, ws, size) = (x.detach(), weight.detach(), Size::of(x)?);
    let y = convolve(&xs, &ws, window)?;
    let wants = [x.track_op(), weight.track_op()];
    let y = given2(y, [x, weight], move |grad| {
        let dx = wants[0].then(|| input_gradient(grad, &ws, size, (kh, kw), window)).transpose()?;
        let dw = wants[1].then(|| {
            // (out, b·oh·ow) · (b·oh·ow, kh·kw·in)
            let seen = rows(&seen(&xs, (kh, kw), window)?)?;
            let dw = rows(grad)?.t()?.matmul(&seen)?;
            dw.reshape((out, kh, kw, inp))?.permute((0, 3, 1, 2))?.contiguous()
        });
        Ok([dx, dw.transpose()?])
    })?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// Height and width of an image.
#[derive(Clone, Copy)]
struct Size {
    h: usize,
    w: usize,
}

impl Size {
    fn of(x: &Tensor) -> Result<Size> {
        let (_, h, w, _) = x.dims4()?;
        Ok(Size { h, w })
    }
}

/// `x` (b, h, w, in) with a weight (out, in, kh, kw) → (b, oh, ow, out).
fn convolve(x: &Tensor, weight: &Tensor, window: Window) -> Result<Tensor> {
    let (out, inp, kh, kw) = weight.dims4()?;
    if x.dims4()?.3 != inp {
        bail!("expected an image of {inp} channels, found {:?}", x.shape());
    }
    // (b, oh, ow, kh·kw·in)
    let seen = seen(x, (kh, kw), window)?;
    let (b, oh, ow, taps) = seen.dims4()?;
    let matrix = weight.permute((0, 2, 3, 1))?.contiguous()?.reshape((out, taps))?;
    rows(&seen)?.matmul(&matrix.t()?)?.reshape((b, oh, ow, out))
}

/// What each output pixel sees: (b, oh, ow, kh·kw·in), tap by tap.
fn seen(x: &Tensor, (kh, kw): (usize, usize), window: Window) -> Result<Tensor> {
    let Window { stride, before, after } = window;
    let (b, h, w, c) = x.dims4()?;
    if stride == 0 || h + before + after < kh || w + before + after < kw {
        bail!("an image of {h}×{w} is too small for a {kh}×{kw} kernel with {window:?}");
    }
    let (oh, ow) = ((h + before + after - kh) / stride + 1, (w + before + after - kw) / stride + 1);
    // Enough at the end for each tap to have whole strides.
    let end = |size: usize, k: usize, out: usize| (k - 1 + out * stride).saturating_sub(size + before);
    let x = x.pad_with_zeros(1, before, end(h, kh, oh))?.pad_with_zeros(2, before, end(w, kw, ow))?;
    let mut taps = Vec::with_capacity(kh * kw);
    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
        let tap = x.narrow(1, ky, oh * stride)?.narrow(2, kx, ow * stride)?;
        taps.push(if stride == 1 {
            tap
        } else {
            let tap = tap.contiguous()?.reshape(&[b, oh, stride, ow, stride, c][..])?;
            tap.narrow(2, 0, 1)?.narrow(4, 0, 1)?.contiguous()?.reshape((b, oh, ow, c))?
        });
    }
    if taps.len() == 1 { taps[0].contiguous() } else { Tensor::cat(&taps, 3)?.contiguous() }
}

/// From the gradient of the output (b, oh, ow, out) to that of the input (b, h, w, in).
fn input_gradient(
    grad: &Tensor,
    weight: &Tensor,
    Size { h, w }: Size,
    (kh, kw): (usize, usize),
    window: Window,
) -> Result<Tensor> {
    let Window { stride, before, .. } = window;
    let spread = spread(&spread(grad, 1, stride)?, 2, stride)?;
    let fitted = fit(
        &fit(&spread, 1, kh as isize - 1 - before as isize, h + kh - 1)?,
        2,
        kw as isize - 1 - before as isize,
        w + kw - 1,
    )?;
    // (in, out, kh, kw), turned by half a circle.
    let turned = turn(&turn(&weight.transpose(0, 1)?.contiguous()?, 2)?, 3)?;
    convolve(&fitted, &turned, Window::new(1, 0))
}

/// Zeros behind each place of a dimension, so that neighbours are `stride` apart.
fn spread(x: &Tensor, dim: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let mut dims = x.dims().to_vec();
    dims[dim] *= stride;
    x.unsqueeze(dim + 1)?.pad_with_zeros(dim + 1, 0, stride - 1)?.contiguous()?.reshape(dims)
}

/// Moves a dimension by `offset` places and makes it `size` long: with zeros where it was shorter, cut where longer.
fn fit(x: &Tensor, dim: usize, offset: isize, size: usize) -> Result<Tensor> {
    let cut = offset.min(0).unsigned_abs();
    let x = x.narrow(dim, cut, x.dim(dim)? - cut)?;
    let before = offset.max(0).unsigned_abs();
    let x = x.narrow(dim, 0, x.dim(dim)?.min(size - before))?;
    x.pad_with_zeros(dim, before, size - before - x.dim(dim)?)
}

/// A dimension from the back.
fn turn(x: &Tensor, dim: usize) -> Result<Tensor> {
    let n = x.dim(dim)?;
    if n == 1 {
        return Ok(x.clone());
    }
    let back: Vec<u32> = (0..n as u32).rev().collect();
    x.contiguous()?.index_select(&Tensor::from_vec(back, n, x.device())?, dim)
}

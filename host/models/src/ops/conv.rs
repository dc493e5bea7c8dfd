//! 2-d convolutions on channels-last images, frozen and trainable. No im2col: each output row of the product reads its
//! shifted inputs where they lie. The input's gradient is again such a product, one for each phase of the stride.

use super::frozen::Frozen;
use super::gemm::{Output, Product, Stretch, multiply_transposed};
use super::portable;
use super::values::{self, read};
use super::winograd::Winograd;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// How a kernel walks over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Pixels from one output to the next, both ways.
    pub stride: usize,
    /// Zeros added at the top and left.
    pub before: usize,
    /// Zeros added at the bottom and right.
    pub after: usize,
}

impl Window {
    /// The same padding on all sides.
    pub const fn new(stride: usize, padding: usize) -> Window {
        Window { stride, before: padding, after: padding }
    }
}

/// Convolves `x` (b, h, w, in) with a frozen layer → (b, h', w', out).
pub fn conv2d_frozen(x: &Tensor, layer: &Arc<Frozen>, window: Window) -> Result<Tensor> {
    let geometry = Geometry::new(x.dims(), layer.kernel(), layer.inp(), layer.out(), window)?;
    if geometry.is_linear() {
        return super::linear_frozen(x, layer);
    }
    if portable::takes(x) {
        return portable::conv2d_frozen(x, layer, window);
    }
    x.contiguous()?.apply_op1(FrozenConv { layer: layer.clone(), geometry })
}

/// Convolves `x` (b, h, w, in) with a weight (out, in, kh, kw) that may be trained, and adds a bias (out).
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: Window) -> Result<Tensor> {
    let (out, inp, kh, kw) = weight.dims4()?;
    let geometry = Geometry::new(x.dims(), (kh, kw), inp, out, window)?;
    if portable::takes(x) {
        return portable::conv2d(x, weight, bias, window);
    }
    let y = x.contiguous()?.apply_op2(&weight.contiguous()?, TrainableConv { geometry })?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

#[derive(Clone, Copy)]
struct Geometry {
    b: usize,
    h: usize,
    w: usize,
    kh: usize,
    kw: usize,
    inp: usize,
    out: usize,
    oh: usize,
    ow: usize,
    window: Window,
}

impl Geometry {
    fn new(dims: &[usize], (kh, kw): (usize, usize), inp: usize, out: usize, window: Window) -> Result<Geometry> {
        let &[b, h, w, c] = dims else { bail!("expected an image (b, h, w, {inp}), found {dims:?}") };
        if c != inp {
            bail!("expected an image of {inp} channels (b, h, w, {inp}), found {dims:?}");
        }
        let pad = window.before + window.after;
        if window.stride == 0 || h + pad < kh || w + pad < kw {
            bail!("an image of {h}×{w} is too small for a {kh}×{kw} kernel with {window:?}");
        }
        let (oh, ow) = ((h + pad - kh) / window.stride + 1, (w + pad - kw) / window.stride + 1);
        Ok(Geometry { b, h, w, kh, kw, inp, out, oh, ow, window })
    }

    fn is_linear(&self) -> bool {
        (self.kh, self.kw) == (1, 1) && self.window == Window::new(1, 0)
    }

    /// Calls `f(tap, input)` for each tap of output pixel (oy, ox): where the pixel it reads begins, or `None` for padding.
    #[inline(always)]
    fn sources(&self, image: usize, oy: usize, ox: usize, mut f: impl FnMut(usize, Option<usize>)) {
        // Wrapping below zero gives numbers beyond any height, so that one comparison checks both ends.
        let (y0, x0) = (
            (oy * self.window.stride).wrapping_sub(self.window.before),
            (ox * self.window.stride).wrapping_sub(self.window.before),
        );
        for ky in 0..self.kh {
            let y = y0.wrapping_add(ky);
            let row = (image * self.h).wrapping_add(y).wrapping_mul(self.w);
            for kx in 0..self.kw {
                let x = x0.wrapping_add(kx);
                let inside = y < self.h && x < self.w;
                f(ky * self.kw + kx, inside.then(|| row.wrapping_add(x) * self.inp));
            }
        }
    }

    /// The same in fewer products, where there is such a way and it pays.
    fn winograd(&self) -> Option<Winograd> {
        let Geometry { b, h, w, inp, out, oh, ow, window, .. } = *self;
        let way = Winograd { b, h, w, inp, oh, ow, out, before: window.before, turned: false };
        let fits = (self.kh, self.kw, window.stride) == (3, 3, 1) && window.before <= 2;
        (fits && way.pays()).then_some(way)
    }

    fn forward(&self, x: &[f32], layer: &Frozen) -> Result<Vec<f32>> {
        let taps = self.kh * self.kw;
        let mut out = vec![0.0; self.b * self.oh * self.ow * self.out];
        let kept = layer.kept()?;
        if let Some(way) = self.winograd() {
            way.run(x, kept.right(0), layer.bias(), &mut out);
            return Ok(out);
        }
        let zeros = vec![0.0; self.inp];
        // Without padding the pixels under a row of the kernel lie side by side, and so do their rows of the right side.
        let wide = if self.window.before == 0 && self.window.after == 0 { self.kw } else { 1 };
        let len = wide * self.inp;
        let stretches: Vec<_> =
            (0..taps / wide).map(|t| Stretch { len, step: 1, right: kept.right(t * len) }).collect();
        let m = self.b * self.oh * self.ow;
        let product =
            Product { m, n: self.out, stretches: &stretches, alpha: 1.0, bias: layer.bias(), accumulate: false };
        let place = Output::new(&mut out);
        // SAFETY: each stretch reads `inp` floats of a pixel or of the zeros; each row has its own output pixel.
        unsafe {
            product.run(|i, row| {
                let (b, oy, ox) = (i / (self.oh * self.ow), i / self.ow % self.oh, i % self.ow);
                self.sources(b, oy, ox, |tap, at| {
                    if tap % wide == 0 {
                        row.left(tap / wide, at.map_or(&zeros, |at| &x[at..at + len]));
                    }
                });
                row.out(place, i * self.out, self.out);
            });
        }
        Ok(out)
    }

    /// The gradient of the input, from the gradient of the output.
    fn backward(&self, grad: &[f32], layer: &Frozen) -> Result<Vec<f32>> {
        let (s, before) = (self.window.stride, self.window.before);
        let kept = layer.kept()?;
        let flipped = kept.flipped();
        let mut dx = vec![0.0; self.b * self.h * self.w * self.inp];
        if let Some(way) = self.winograd().map(Winograd::backward).filter(Winograd::pays) {
            way.run(grad, flipped.right(0), None, &mut dx);
            return Ok(dx);
        }
        let zeros = vec![0.0; self.out];
        let place = Output::new(&mut dx);
        // Input rows y with the same (y + before) mod stride are reached by the same rows of the kernel, ky = py + s·i,
        // from the output rows (y + before - py) / s - i; columns likewise.
        for (py, px) in (0..s).flat_map(|py| (0..s).map(move |px| (py, px))) {
            let (ny, nx) = (self.kh.saturating_sub(py).div_ceil(s), self.kw.saturating_sub(px).div_ceil(s));
            let (y0, x0) = ((py + s - before % s) % s, (px + s - before % s) % s);
            let (rows, columns) = (self.h.saturating_sub(y0).div_ceil(s), self.w.saturating_sub(x0).div_ceil(s));
            let stretches: Vec<_> = (0..ny * nx)
                .map(|i| (py + s * (i / nx)) * self.kw + px + s * (i % nx))
                .map(|tap| Stretch { len: self.out, step: 1, right: flipped.right(tap * self.out) })
                .collect();
            let m = self.b * rows * columns;
            let product = Product { m, n: self.inp, stretches: &stretches, alpha: 1.0, bias: None, accumulate: false };
            // SAFETY: each stretch reads `out` floats of a pixel or of the zeros; each row has its own input pixel.
            unsafe {
                product.run(|i, row| {
                    let (b, r, c) = (i / (rows * columns), i / columns % rows, i % columns);
                    let (oy0, ox0) = ((y0 + before - py) / s + r, (x0 + before - px) / s + c);
                    for iy in 0..ny {
                        let oy = oy0.wrapping_sub(iy);
                        let line = (b * self.oh).wrapping_add(oy).wrapping_mul(self.ow);
                        for ix in 0..nx {
                            let ox = ox0.wrapping_sub(ix);
                            let inside = oy < self.oh && ox < self.ow;
                            let at = (line.wrapping_add(ox)).wrapping_mul(self.out);
                            row.left(iy * nx + ix, if inside { &grad[at..at + self.out] } else { &zeros });
                        }
                    }
                    let (y, x) = (y0 + s * r, x0 + s * c);
                    row.out(place, ((b * self.h + y) * self.w + x) * self.inp, self.inp);
                });
            }
        }
        Ok(dx)
    }

    /// The inputs that each output pixel sees: (b·oh·ow, kh·kw·in).
    fn patches(&self, x: &[f32]) -> Vec<f32> {
        let (taps, c) = (self.kh * self.kw, self.inp);
        let mut out = vec![0.0; self.b * self.oh * self.ow * taps * c];
        values::in_chunks(&mut out, taps * c, |first, out| {
            let i = first / (taps * c);
            let (b, oy, ox) = (i / (self.oh * self.ow), i / self.ow % self.oh, i % self.ow);
            self.sources(b, oy, ox, |tap, at| {
                if let Some(at) = at {
                    out[tap * c..(tap + 1) * c].copy_from_slice(&x[at..at + c]);
                }
            });
        });
        out
    }

    fn output_shape(&self) -> (usize, usize, usize, usize) {
        (self.b, self.oh, self.ow, self.out)
    }
}

struct FrozenConv {
    layer: Arc<Frozen>,
    geometry: Geometry,
}

impl CustomOp1 for FrozenConv {
    fn name(&self) -> &'static str {
        "conv2d-frozen"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.geometry.forward(values::of(x, layout)?, &self.layer)?;
        Ok(values::storage(out, self.geometry.output_shape()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        read!(grad as g);
        Ok(Some(values::tensor(self.geometry.backward(g, &self.layer)?, x.shape())?))
    }
}

struct TrainableConv {
    geometry: Geometry,
}

impl CustomOp2 for TrainableConv {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = values::of(weight, weight_layout)?.to_vec();
        let layer = Frozen::new(&values::tensor(weight, weight_layout.shape())?, None)?;
        let out = self.geometry.forward(values::of(x, layout)?, &layer)?;
        Ok(values::storage(out, self.geometry.output_shape()))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let g = &self.geometry;
        read!(x as xs, grad as gs);
        let dx = if x.track_op() {
            Some(values::tensor(g.backward(gs, &Frozen::new(weight, None)?)?, x.shape())?)
        } else {
            None
        };
        let dw = if weight.track_op() {
            let (m, taps) = (g.b * g.oh * g.ow, g.kh * g.kw);
            let dw = multiply_transposed(gs, &g.patches(xs), m, g.out, taps * g.inp, 1.0);
            let dw = values::tensor(dw, (g.out, g.kh, g.kw, g.inp))?;
            Some(dw.permute((0, 3, 1, 2))?.contiguous()?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{gradients_match, random};

    /// A sum over the kernel's places; candle's own convolution has no gradient for some of these windows.
    fn composed(x: &Tensor, w: &Tensor, b: &Tensor, window: Window) -> Result<Tensor> {
        let pad = |x: &Tensor, dim| x.pad_with_zeros(dim, window.before, window.after);
        let x = pad(&pad(x, 1)?, 2)?.contiguous()?;
        let (_, _, kh, kw) = w.dims4()?;
        let every = |size: usize, k: usize, at: usize| {
            let count = (size - k) / window.stride + 1;
            let indices = (0..count).map(|i| (i * window.stride + at) as u32).collect::<Vec<_>>();
            Tensor::from_vec(indices, count, x.device())
        };
        let mut sum: Option<Tensor> = None;
        for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
            let seen = x.index_select(&every(x.dim(1)?, kh, ky)?, 1)?.index_select(&every(x.dim(2)?, kw, kx)?, 2)?;
            let part = seen.broadcast_matmul(&w.narrow(2, ky, 1)?.narrow(3, kx, 1)?.flatten_from(1)?.t()?)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        sum.expect("a kernel has places").broadcast_add(b)
    }

    #[test]
    fn convolutions_match_their_definition_in_value_and_gradients() -> Result<()> {
        let windows = [
            (3, Window::new(1, 1)),
            (3, Window::new(2, 1)),
            (3, Window { stride: 2, before: 0, after: 1 }),
            (1, Window::new(1, 0)),
            (1, Window::new(2, 0)),
            (4, Window::new(3, 2)),
        ];
        for (k, window) in windows {
            for (h, w) in [(8, 8), (7, 5)] {
                let args = [random((2, h, w, 5), 1)?, random((18, 5, k, k), 2)?, random(18, 3)?];
                gradients_match(
                    &args,
                    |a| conv2d(&a[0], &a[1], Some(&a[2]), window),
                    |a| composed(&a[0], &a[1], &a[2], window),
                )?;
                let layer = Arc::new(Frozen::new(&args[1], Some(&args[2]))?);
                gradients_match(
                    &args[..1],
                    |a| conv2d_frozen(&a[0], &layer, window),
                    |a| composed(&a[0], &args[1], &args[2], window),
                )?;
            }
        }
        Ok(())
    }

    #[test]
    fn strided_inputs_are_made_contiguous() -> Result<()> {
        let (w, b) = (random((4, 3, 3, 3), 2)?, random(4, 3)?);
        let layer = Arc::new(Frozen::new(&w, Some(&b))?);
        gradients_match(
            &[random((2, 3, 6, 6), 1)?],
            |a| conv2d_frozen(&a[0].permute((0, 2, 3, 1))?, &layer, Window::new(1, 1)),
            |a| composed(&a[0].permute((0, 2, 3, 1))?, &w, &b, Window::new(1, 1)),
        )
    }

    #[test]
    fn impossible_shapes_are_errors() -> Result<()> {
        let layer = Arc::new(Frozen::new(&random((4, 3, 3, 3), 2)?, None)?);
        assert!(conv2d_frozen(&random((1, 4, 4, 2), 1)?, &layer, Window::new(1, 1)).is_err());
        assert!(conv2d_frozen(&random((1, 2, 2, 3), 1)?, &layer, Window::new(1, 0)).is_err());
        assert!(conv2d_frozen(&random((4, 4, 3), 1)?, &layer, Window::new(1, 1)).is_err());
        Ok(())
    }
}

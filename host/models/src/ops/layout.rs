//! Moving values around: channels first and last, joining channels, adding a value per channel.

use super::portable;
use super::simd::simd;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

/// (b, c, h, w) → (b, h, w, c).
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}

/// (b, h, w, c) → (b, c, h, w).
pub fn channels_first(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}

/// (b, c, h, w) → (b, c·f², h/f, w/f): f×f pixels are channels of one (torch, `pixel_unshuffle`).
pub(crate) fn folded(x: &Tensor, f: usize) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    if f == 1 {
        return Ok(x.clone());
    }
    let x = x.reshape(vec![b, c, h / f, f, w / f, f])?.permute(vec![0, 1, 3, 5, 2, 4])?;
    x.contiguous()?.reshape((b, c * f * f, h / f, w / f))
}

/// `a` (…, c) and `b` (…, d) side by side → (…, c + d).
pub fn concat_channels(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (Some((&c, rows)), Some((&d, other))) = (a.dims().split_last(), b.dims().split_last()) else {
        bail!("expected at least one dimension")
    };
    if rows != other || c == 0 || d == 0 {
        bail!("expected images of one size, found {:?} and {:?}", a.shape(), b.shape());
    }
    if portable::takes(a) {
        return Tensor::cat(&[a, b], a.rank() - 1)?.contiguous();
    }
    a.contiguous()?.apply_op2(&b.contiguous()?, Concat { widths: (c, d) })
}

/// `x` (b, …, c) plus a value for each image and channel, `t` (b, c).
pub fn add_channels(x: &Tensor, t: &Tensor) -> Result<Tensor> {
    let (b, c) = t.dims2()?;
    if x.rank() < 2 || x.dim(0)? != b || x.dims().last() != Some(&c) || c == 0 {
        bail!("expected an input ({b}, …, {c}), found {:?}", x.shape());
    }
    if portable::takes(x) {
        return portable::add_channels(x, t);
    }
    x.contiguous()?.apply_op2(&t.contiguous()?, AddChannels)
}

struct Concat {
    widths: (usize, usize),
}

const ROWS: usize = 64;

impl CustomOp2 for Concat {
    fn name(&self) -> &'static str {
        "concat-channels"
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (a, b, (c, d)) = (values::of(a, la)?, values::of(b, lb)?, self.widths);
        let mut out = vec![0.0; a.len() + b.len()];
        values::in_chunks(&mut out, ROWS * (c + d), |at, out| {
            let first = at / (c + d);
            for (i, out) in out.chunks_exact_mut(c + d).enumerate() {
                out[..c].copy_from_slice(&a[(first + i) * c..][..c]);
                out[c..].copy_from_slice(&b[(first + i) * d..][..d]);
            }
        });
        let mut dims = la.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = c + d;
        }
        Ok(values::storage(out, dims))
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (c, d) = self.widths;
        read!(grad as gs);
        let part = |of: &Tensor, from: usize, width: usize| {
            let mut out = vec![0.0; of.elem_count()];
            values::in_chunks(&mut out, ROWS * width, |at, out| {
                for (i, out) in out.chunks_exact_mut(width).enumerate() {
                    out.copy_from_slice(&gs[(at / width + i) * (c + d) + from..][..width]);
                }
            });
            values::tensor(out, of.shape())
        };
        let da = a.track_op().then(|| part(a, 0, c)).transpose()?;
        let db = b.track_op().then(|| part(b, c, d)).transpose()?;
        Ok((da, db))
    }
}

struct AddChannels;

simd! {
    fn add_rows(out: &mut [f32], x: &[f32], t: &[f32]) {
        let c = t.len();
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for ((out, x), t) in out.iter_mut().zip(x).zip(t) {
                *out = x + t;
            }
        }
    }
}

impl CustomOp2 for AddChannels {
    fn name(&self) -> &'static str {
        "add-channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, t: &CpuStorage, lt: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, t, (b, c)) = (values::of(x, lx)?, values::of(t, lt)?, lt.shape().dims2()?);
        let mut out = vec![0.0; x.len()];
        let image = x.len() / b.max(1);
        values::in_chunks(&mut out, image, |at, out| {
            let b = at / image;
            add_rows(out, &x[at..at + out.len()], &t[b * c..(b + 1) * c]);
        });
        Ok(values::storage(out, lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, t: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dt = if t.track_op() {
            let grad = grad.contiguous()?;
            let (b, c) = t.dims2()?;
            read!(grad as gs);
            let image = gs.len() / b.max(1);
            let mut out = vec![0.0; b * c];
            for (b, out) in out.chunks_exact_mut(c).enumerate() {
                for g in gs[b * image..(b + 1) * image].chunks_exact(c) {
                    for (out, g) in out.iter_mut().zip(g) {
                        *out += g;
                    }
                }
            }
            Some(values::tensor(out, (b, c))?)
        } else {
            None
        };
        Ok((x.track_op().then(|| grad.clone()), dt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, gradients_match, random};

    #[test]
    fn joining_matches_cat() -> Result<()> {
        gradients_match(
            &[random((2, 9, 9, 3), 1)?, random((2, 9, 9, 5), 2)?],
            |a| concat_channels(&a[0], &a[1]),
            |a| Tensor::cat(&[&a[0], &a[1]], 3),
        )?;
        assert!(concat_channels(&random((2, 3), 1)?, &random((3, 3), 1)?).is_err());
        Ok(())
    }

    #[test]
    fn adding_matches_broadcast() -> Result<()> {
        gradients_match(
            &[random((2, 3, 4, 5), 1)?, random((2, 5), 2)?],
            |a| add_channels(&a[0], &a[1]),
            |a| a[0].broadcast_add(&a[1].reshape((2, 1, 1, 5))?),
        )
    }

    #[test]
    fn there_and_back() -> Result<()> {
        let x = random((2, 3, 4, 5), 1)?;
        close(&channels_first(&channels_last(&x)?)?, &x, 0.0)
    }
}

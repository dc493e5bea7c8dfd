//! What a diffusion transformer's condition does to its tokens: scale and shift before a layer, a gate behind it
//! (adaptive layer norm, Peebles and Xie 2022, arXiv:2212.09748).

use super::simd::simd;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// `x · (1 + scale) + shift` for `x` (b, n, c) and, for each image, `scale` and `shift` (b, c).
pub fn modulate(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    check(x, scale)?;
    check(x, shift)?;
    if super::portable::takes(x) {
        return x.broadcast_mul(&(scale.unsqueeze(1)? + 1.0)?)?.broadcast_add(&shift.unsqueeze(1)?);
    }
    x.contiguous()?.apply_op3(&scale.contiguous()?, &shift.contiguous()?, Modulate)
}

/// `x + gate · y` for `x` and `y` (b, n, c) and, for each image, `gate` (b, c).
pub fn add_gated(x: &Tensor, y: &Tensor, gate: &Tensor) -> Result<Tensor> {
    check(x, gate)?;
    if x.dims() != y.dims() {
        bail!("expected {:?} to add, found {:?}", x.shape(), y.shape());
    }
    if super::portable::takes(x) {
        return x + y.broadcast_mul(&gate.unsqueeze(1)?)?;
    }
    x.contiguous()?.apply_op3(&y.contiguous()?, &gate.contiguous()?, AddGated)
}

fn check(x: &Tensor, per_image: &Tensor) -> Result<()> {
    let (b, _, c) = x.dims3()?;
    if per_image.dims() != [b, c] || c == 0 {
        bail!("expected a value for each image and channel ({b}, {c}), found {:?}", per_image.shape());
    }
    Ok(())
}

struct Modulate;
struct AddGated;

simd! {
    fn modulate_rows(out: &mut [f32], x: &[f32], scale: &[f32], shift: &[f32]) {
        let c = scale.len();
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                *out = x * (1.0 + scale) + shift;
            }
        }
    }
}

simd! {
    fn gate_rows(out: &mut [f32], x: &[f32], y: &[f32], gate: &[f32]) {
        let c = gate.len();
        for ((out, x), y) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(y.chunks_exact(c)) {
            for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                *out = x + gate * y;
            }
        }
    }
}

simd! {
    fn add_products(sums: &mut [f32], a: &[f32], b: &[f32], width: usize, from: usize) {
        for (a, b) in a.chunks_exact(width).zip(b.chunks_exact(width)) {
            for ((sum, a), b) in sums.iter_mut().zip(&a[from..]).zip(&b[from..]) {
                *sum += a * b;
            }
        }
    }
}

/// Channels that one thread sums at a time.
const COLUMNS: usize = 256;

/// Σ over tokens of `a · b` for each image and channel: (b, n, c) twice → (b, c).
fn sum_tokens(a: &[f32], b: &[f32], images: usize, c: usize) -> Vec<f32> {
    let image = a.len() / images.max(1);
    let mut sums = vec![0.0; images * c];
    for (i, sums) in sums.chunks_exact_mut(c).enumerate() {
        let of = i * image..(i + 1) * image;
        values::in_chunks(sums, COLUMNS, |at, sums| add_products(sums, &a[of.clone()], &b[of.clone()], c, at));
    }
    sums
}

/// Calls `f(image, first value, values)` with pieces of an (images, n, c) output that are whole rows of one image.
fn by_rows(out: &mut [f32], images: usize, c: usize, f: impl Fn(usize, usize, &mut [f32]) + Sync) {
    let image = out.len() / images.max(1);
    for (i, out) in out.chunks_mut(image.max(1)).enumerate() {
        values::in_chunks(out, (1 << 14) / c * c + c, |at, out| f(i, i * image + at, out));
    }
}

impl CustomOp3 for Modulate {
    fn name(&self) -> &'static str {
        "modulate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        scale: &CpuStorage,
        ls: &Layout,
        shift: &CpuStorage,
        lh: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, scale, shift) = (values::of(x, lx)?, values::of(scale, ls)?, values::of(shift, lh)?);
        let (b, c) = ls.shape().dims2()?;
        let mut out = vec![0.0; x.len()];
        by_rows(&mut out, b, c, |i, at, out| {
            let of = i * c..(i + 1) * c;
            modulate_rows(out, &x[at..at + out.len()], &scale[of.clone()], &shift[of]);
        });
        Ok(values::storage(out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (b, c) = scale.dims2()?;
        read!(x as xs, scale as ss, grad as gs);
        let dx = x.track_op().then(|| {
            let (mut dx, zeros) = (vec![0.0; gs.len()], vec![0.0; c]);
            by_rows(&mut dx, b, c, |i, at, dx| {
                modulate_rows(dx, &gs[at..at + dx.len()], &ss[i * c..(i + 1) * c], &zeros);
            });
            values::tensor(dx, x.shape())
        });
        let dscale = scale.track_op().then(|| values::tensor(sum_tokens(xs, gs, b, c), (b, c)));
        let dshift = shift.track_op().then(|| grad.sum(1));
        Ok((dx.transpose()?, dscale.transpose()?, dshift.transpose()?))
    }
}

impl CustomOp3 for AddGated {
    fn name(&self) -> &'static str {
        "add-gated"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        y: &CpuStorage,
        ly: &Layout,
        gate: &CpuStorage,
        lg: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, y, gate) = (values::of(x, lx)?, values::of(y, ly)?, values::of(gate, lg)?);
        let (b, c) = lg.shape().dims2()?;
        let mut out = vec![0.0; x.len()];
        by_rows(&mut out, b, c, |i, at, out| {
            let to = at + out.len();
            gate_rows(out, &x[at..to], &y[at..to], &gate[i * c..(i + 1) * c]);
        });
        Ok(values::storage(out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        gate: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (b, c) = gate.dims2()?;
        read!(y as ys, gate as gates, grad as gs);
        let dy = y.track_op().then(|| {
            let (mut dy, zeros) = (vec![0.0; gs.len()], vec![0.0; gs.len()]);
            by_rows(&mut dy, b, c, |i, at, dy| {
                let to = at + dy.len();
                gate_rows(dy, &zeros[at..to], &gs[at..to], &gates[i * c..(i + 1) * c]);
            });
            values::tensor(dy, y.shape())
        });
        let dgate = gate.track_op().then(|| values::tensor(sum_tokens(ys, gs, b, c), (b, c)));
        Ok((x.track_op().then(|| grad.clone()), dy.transpose()?, dgate.transpose()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{gradients_match, random};

    #[test]
    fn both_match_the_composed_forms_in_value_and_gradients() -> Result<()> {
        for (b, n, c) in [(1, 4, 6), (2, 7, 5), (2, 33, 700)] {
            let (x, y) = (random((b, n, c), 1)?, random((b, n, c), 2)?);
            let (scale, shift) = (random((b, c), 3)?, random((b, c), 4)?);
            gradients_match(
                &[x.clone(), scale.clone(), shift],
                |a| modulate(&a[0], &a[1], &a[2]),
                |a| a[0].broadcast_mul(&(a[1].unsqueeze(1)? + 1.0)?)?.broadcast_add(&a[2].unsqueeze(1)?),
            )?;
            gradients_match(
                &[x, y, scale],
                |a| add_gated(&a[0], &a[1], &a[2]),
                |a| &a[0] + a[1].broadcast_mul(&a[2].unsqueeze(1)?)?,
            )?;
        }
        assert!(modulate(&random((2, 3, 4), 1)?, &random((1, 4), 2)?, &random((2, 4), 3)?).is_err());
        assert!(add_gated(&random((2, 3, 4), 1)?, &random((2, 3, 5), 2)?, &random((2, 4), 3)?).is_err());
        Ok(())
    }
}

//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864) of neighbouring pairs, as Flux has it.

use super::over;
use super::simd::simd;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// The angles of a sequence: cosine and sine of each position's d/2 pairs. Cheap to clone.
#[derive(Clone)]
pub struct Rotation {
    positions: usize,
    half: usize,
    /// (positions, d) as cos, cos, cos, cos …: each pair's value twice, so that loops need no indices.
    cos: Arc<[f32]>,
    /// (positions, d) as −sin, sin, −sin, sin …
    sin: Arc<[f32]>,
}

impl Rotation {
    /// From the angles of each position, `half` of them a position, row-major.
    pub fn new(angles: &[f64], half: usize) -> Rotation {
        let cos = angles.iter().flat_map(|a| [a.cos() as f32; 2]).collect();
        let sin = angles.iter().flat_map(|a| [-(a.sin() as f32), a.sin() as f32]).collect();
        Rotation { positions: angles.len() / half.max(1), half, cos, sin }
    }

    fn back(&self) -> Rotation {
        Rotation { sin: self.sin.iter().map(|s| -s).collect(), ..self.clone() }
    }

    /// The same by candle's own operations, for devices without an operation of ours.
    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (b, n, heads, d) = x.dims4()?;
        let table = |values: &[f32], device: &Device| {
            Tensor::from_slice(values, (1, n, 1, d / 2, 2), &Device::Cpu)?.to_device(device)
        };
        let pairs = x.reshape((b, n, heads, d / 2, 2))?;
        let swapped = Tensor::cat(&[pairs.narrow(4, 1, 1)?, pairs.narrow(4, 0, 1)?], 4)?;
        let turned = (pairs.broadcast_mul(&table(&self.cos, x.device())?)?
            + swapped.broadcast_mul(&table(&self.sin, x.device())?)?)?;
        turned.reshape((b, n, heads, d))
    }
}

/// Turns each neighbouring pair of `x` (b, n, heads, d) by its position's angle.
pub fn rope(x: &Tensor, rotation: &Rotation) -> Result<Tensor> {
    let (_, n, _, d) = x.dims4()?;
    if (n, d) != (rotation.positions, 2 * rotation.half) || d == 0 {
        bail!("expected (b, {}, heads, {}) to rotate, found {:?}", rotation.positions, 2 * rotation.half, x.shape());
    }
    if super::portable::takes(x) {
        return rotation.composed(x);
    }
    x.contiguous()?.apply_op1(Rope(rotation.clone()))
}

/// The same, written over `x`; see [`over`].
pub fn rope_over(x: Tensor, rotation: &Rotation) -> Result<Tensor> {
    let (_, n, heads, d) = x.dims4()?;
    if !over::alone(&x) || (n, d) != (rotation.positions, 2 * rotation.half) || d == 0 {
        return rope(&x, rotation);
    }
    over::over(x, rotation.chunk(heads), |at, x| {
        let part = rotation.part(at, x.len(), heads);
        turn_over(x, &rotation.cos[part.clone()], &rotation.sin[part], d, heads);
    })
}

struct Rope(Rotation);

simd! {
    /// Rows of `heads` heads for each position.
    fn turn(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], d: usize, heads: usize) {
        let rows = out.chunks_exact_mut(heads * d).zip(x.chunks_exact(heads * d));
        for ((out, x), (cos, sin)) in rows.zip(cos.chunks_exact(d).zip(sin.chunks_exact(d))) {
            for (out, x) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                for i in (0..d).step_by(2) {
                    out[i] = x[i] * cos[i] + x[i + 1] * sin[i];
                    out[i + 1] = x[i + 1] * cos[i + 1] + x[i] * sin[i + 1];
                }
            }
        }
    }
}

simd! {
    /// The same, written over the rows.
    fn turn_over(x: &mut [f32], cos: &[f32], sin: &[f32], d: usize, heads: usize) {
        for (x, (cos, sin)) in x.chunks_exact_mut(heads * d).zip(cos.chunks_exact(d).zip(sin.chunks_exact(d))) {
            for x in x.chunks_exact_mut(d) {
                for i in (0..d).step_by(2) {
                    let pair = [x[i], x[i + 1]];
                    x[i] = pair[0] * cos[i] + pair[1] * sin[i];
                    x[i + 1] = pair[1] * cos[i + 1] + pair[0] * sin[i + 1];
                }
            }
        }
    }
}

impl Rotation {
    /// Values in whole positions of one image, for one thread at a time.
    fn chunk(&self, heads: usize) -> usize {
        let row = heads * 2 * self.half;
        let count = (1..=self.positions).rev().find(|n| self.positions.is_multiple_of(*n) && n * row <= 1 << 14);
        count.unwrap_or(1) * row
    }

    /// The angles of a piece of so many values.
    fn part(&self, at: usize, len: usize, heads: usize) -> std::ops::Range<usize> {
        let (d, row) = (2 * self.half, heads * 2 * self.half);
        let from = at / row % self.positions * d;
        from..from + len / heads
    }

    fn apply(&self, x: &[f32], heads: usize) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        values::in_chunks(&mut out, self.chunk(heads), |at, out| {
            let part = self.part(at, out.len(), heads);
            turn(out, &x[at..at + out.len()], &self.cos[part.clone()], &self.sin[part], 2 * self.half, heads);
        });
        out
    }
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = self.0.apply(values::of(x, layout)?, layout.dims()[2]);
        Ok(values::storage(out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        read!(grad as gs);
        Ok(Some(values::tensor(self.0.back().apply(gs, x.dim(2)?), x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, gradients_match, random};

    #[test]
    fn matches_the_composed_form_in_value_and_gradient() -> Result<()> {
        for (b, n, heads, half) in [(1, 5, 3, 6), (2, 37, 2, 3), (2, 48, 24, 64)] {
            let angles: Vec<f64> = (0..n * half).map(|i| f64::from(i as u32) * 0.37).collect();
            let rotation = Rotation::new(&angles, half);
            let x = random((b, n, heads, 2 * half), 1)?;
            close(&rope_over(x.force_contiguous()?, &rotation)?, &rope(&x, &rotation)?, 0.0)?;
            gradients_match(&[x], |a| rope(&a[0], &rotation), |a| rotation.composed(&a[0]))?;
        }
        assert!(rope(&random((1, 4, 1, 4), 1)?, &Rotation::new(&[0.0; 6], 2)).is_err());
        Ok(())
    }

    #[test]
    fn a_quarter_turn_moves_the_first_of_a_pair_to_the_second() -> Result<()> {
        let rotation = Rotation::new(&[std::f64::consts::FRAC_PI_2], 1);
        let x = Tensor::new(&[[[[1f32, 0.0]]]], &Device::Cpu)?;
        close(&rope(&x, &rotation)?, &Tensor::new(&[[[[0f32, 1.0]]]], &Device::Cpu)?, 1e-6)
    }
}

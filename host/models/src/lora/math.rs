//! What several kinds compute with.

use crate::error::{Error, Result};
use candle_core::{Device, Tensor, bail};

/// The tensor as a matrix (first, all others).
pub(super) fn rows(tensor: &Tensor) -> candle_core::Result<Tensor> {
    match tensor.dims() {
        [first, _, ..] => tensor.reshape((*first, ()))?.contiguous(),
        other => bail!("expected a matrix, found {other:?}"),
    }
}

/// What a core of Tucker's decomposition and its two sides are in full: core (p, q, …), left (p, out), right (q, in) →
/// (out, in, …): Σ core[p, q, …] · left[p, o] · right[q, i].
/// Source: LyCORIS, `functional/general.py`, `rebuild_tucker`.
pub(super) fn tucker(core: &Tensor, left: &Tensor, right: &Tensor) -> candle_core::Result<Tensor> {
    let (p, q) = (core.dim(0)?, core.dim(1)?);
    let (out, inp) = (left.dim(1)?, right.dim(1)?);
    let tail = &core.dims()[2..];
    let places: usize = tail.iter().product();
    // (p, q·places) → (out, q, places)
    let first = left.t()?.contiguous()?.matmul(&core.reshape((p, q * places))?)?;
    // (out, q, places) → (q, out·places) → (in, out, places)
    let first = first.reshape((out, q, places))?.transpose(0, 1)?.contiguous()?.reshape((q, out * places))?;
    let full = right.t()?.contiguous()?.matmul(&first)?.reshape((inp, out, places))?;
    let mut shape = vec![out, inp];
    shape.extend(tail);
    full.transpose(0, 1)?.contiguous()?.reshape(shape)
}

/// Kronecker product of (a, c) and (b, d): (a·b, c·d).
pub(super) fn kron(first: &Tensor, second: &Tensor) -> candle_core::Result<Tensor> {
    let ((a, c), (b, d)) = (first.dims2()?, second.dims2()?);
    first.reshape((a, 1, c, 1))?.broadcast_mul(&second.reshape((1, b, 1, d))?)?.reshape((a * b, c * d))
}

/// Rotations out of free matrices, by Cayley's transform: Q = B − Bᵀ, R = (1 + Q)·(1 − Q)⁻¹, for blocks (…, s, s).
/// `limit` bounds the norm of all Q together; 0 is none.
/// 1 − Q can always be inverted, as Q's eigenvalues are imaginary; but beside values above 1e15 the 1 is lost.
/// Source: Qiu et al. 2023 (arXiv:2306.07280); LyCORIS, `modules/diag_oft.py`, `get_r`.
pub(super) fn rotations(blocks: &Tensor, limit: f64) -> Result<Tensor> {
    let shape = blocks.dims().to_vec();
    let size = shape.last().copied().unwrap_or(0);
    let values = blocks.flatten_all()?.to_vec1::<f32>()?;
    let each = size * size;
    let skewed = |block: &[f32], i: usize, j: usize| f64::from(block[i * size + j]) - f64::from(block[j * size + i]);
    let mut factor = 1.0;
    if limit > 0.0 {
        let square: f64 = values
            .chunks_exact(each)
            .map(|block| (0..each).map(|at| skewed(block, at / size, at % size).powi(2)).sum::<f64>())
            .sum();
        let norm = square.sqrt() + 1e-8;
        factor = if norm > limit { limit / norm } else { 1.0 };
    }
    use rayon::prelude::*;
    let mut out = vec![0f32; values.len()];
    out.par_chunks_mut(each).zip(values.par_chunks(each)).for_each(|(out, block)| {
        let q: Vec<f64> = (0..each).map(|at| factor * skewed(block, at / size, at % size)).collect();
        cayley(&q, size, out);
    });
    if out.iter().any(|value| !value.is_finite()) {
        return Err(Error::Unsupported("its blocks are too large to make rotations of; the file is damaged".into()));
    }
    Ok(Tensor::from_vec(out, shape, &Device::Cpu)?)
}

/// (1 + Q)·(1 − Q)⁻¹ for a skew-symmetric Q. Both factors are functions of Q, so that the order does not matter:
/// solves (1 − Q)·R = 1 + Q by elimination with pivots.
fn cayley(q: &[f64], size: usize, out: &mut [f32]) {
    let one = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
    let width = 2 * size;
    let mut rows = vec![0f64; size * width];
    for i in 0..size {
        for j in 0..size {
            rows[i * width + j] = one(i, j) - q[i * size + j];
            rows[i * width + size + j] = one(i, j) + q[i * size + j];
        }
    }
    for column in 0..size {
        let largest = (column..size)
            .max_by(|&a, &b| rows[a * width + column].abs().total_cmp(&rows[b * width + column].abs()))
            .unwrap_or(column);
        for j in 0..width {
            rows.swap(column * width + j, largest * width + j);
        }
        let pivot = rows[column * width + column];
        for j in column..width {
            rows[column * width + j] /= pivot;
        }
        let pivot_row = rows[column * width..(column + 1) * width].to_vec();
        for i in (0..size).filter(|&i| i != column) {
            let by = rows[i * width + column];
            if by != 0.0 {
                for j in column..width {
                    rows[i * width + j] -= by * pivot_row[j];
                }
            }
        }
    }
    for i in 0..size {
        for j in 0..size {
            out[i * size + j] = rows[i * width + size + j] as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize]) -> Tensor {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) / 7.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn kron_of_the_identity_repeats_blocks() {
        let eye = Tensor::eye(2, candle_core::DType::F32, &Device::Cpu).unwrap();
        let got = kron(&eye, &tensor(&[1, 2])).unwrap().to_vec2::<f32>().unwrap();
        let block = tensor(&[1, 2]).to_vec2::<f32>().unwrap()[0].clone();
        assert_eq!(got, [[block[0], block[1], 0.0, 0.0], [0.0, 0.0, block[0], block[1]]]);
    }

    #[test]
    fn tucker_is_the_sum_it_says() {
        let (core, left, right) = (tensor(&[2, 3, 1, 2]), tensor(&[2, 4]), tensor(&[3, 5]));
        let got = tucker(&core, &left, &right).unwrap();
        assert_eq!(got.dims(), [4, 5, 1, 2]);
        let got = got.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (c, l, r) = (
            core.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            left.to_vec2::<f32>().unwrap(),
            right.to_vec2::<f32>().unwrap(),
        );
        for o in 0..4 {
            for i in 0..5 {
                for k in 0..2 {
                    let want: f32 = (0..6).map(|pq| c[pq * 2 + k] * l[pq / 3][o] * r[pq % 3][i]).sum();
                    assert!((got[(o * 5 + i) * 2 + k] - want).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn rotations_are_orthogonal_and_the_limit_holds() {
        let blocks = tensor(&[2, 3, 3]);
        for limit in [0.0, 0.5] {
            let r = rotations(&blocks, limit).unwrap();
            let product = r.matmul(&r.transpose(1, 2).unwrap().contiguous().unwrap()).unwrap();
            for block in product.to_vec3::<f32>().unwrap() {
                for (i, row) in block.iter().enumerate() {
                    for (j, value) in row.iter().enumerate() {
                        assert!((value - f32::from(i == j)).abs() < 1e-5, "{product}");
                    }
                }
            }
        }
        let small = rotations(&blocks, 1e-3).unwrap().to_vec3::<f32>().unwrap();
        assert!((small[0][0][0] - 1.0).abs() < 1e-3 && small[0][0][1].abs() < 3e-3);
        assert!(rotations(&(blocks * 1e30).unwrap(), 0.0).is_err());
    }
}

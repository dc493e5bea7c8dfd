//! Scaled dot-product attention over heads, in tiles of queries: a tile's scores against all keys are the only n × n
//! thing ever held. Forward keeps the log of each row's sum of exponentials; backward recomputes the scores from it
//! (Dao et al. 2022, arXiv:2205.14135), once by queries and once by keys, so that no gradient is added by two threads.

use super::gemm::{Output, Packed, Product, Right, Stretch};
use super::math;
use super::portable;
use super::simd::simd;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::OnceLock;

/// Which keys a query may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    None,
    /// Those up to its own position.
    Causal,
}

/// `softmax(q · kᵀ / √d) · v` for each of `heads` heads. `q` (b, n, heads·d), `k` and `v` (b, m, heads·d) → (b, n, heads·d).
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: Mask) -> Result<Tensor> {
    let ((b, n, width), (kb, m, kw)) = (q.dims3()?, k.dims3()?);
    if heads == 0 || width % heads != 0 || (kb, kw) != (b, width) || v.dims() != k.dims() || m == 0 {
        bail!("attention with {heads} heads does not fit q {:?}, k {:?}, v {:?}", q.shape(), k.shape(), v.shape());
    }
    if portable::takes(q) {
        return portable::attention(q, k, v, heads, mask);
    }
    let shape = Dims { b, n, m, heads, d: width / heads, mask };
    q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, Attention { shape, logs: OnceLock::new() })
}

#[derive(Clone, Copy)]
struct Dims {
    b: usize,
    n: usize,
    m: usize,
    heads: usize,
    d: usize,
    mask: Mask,
}

struct Attention {
    shape: Dims,
    /// log Σ exp of each query's scaled scores, (b, heads, n).
    logs: OnceLock<Vec<f32>>,
}

/// Most scores of one tile: 2 MiB, so that they stay in the second-level cache with a little of everything else.
const TILE: usize = 1 << 17;

impl Dims {
    fn width(&self) -> usize {
        self.heads * self.d
    }

    fn scale(&self) -> f32 {
        1.0 / (self.d as f32).sqrt()
    }

    /// Rows of a tile against `columns` columns: a multiple of the kernel's 12.
    fn tile(&self, columns: usize) -> usize {
        (TILE / columns / 12).clamp(1, 8) * 12
    }

    /// One head's rows of a (b, n, width) tensor.
    fn head<'a>(&self, values: &'a [f32], rows: usize, pair: usize) -> &'a [f32] {
        let (b, h) = (pair / self.heads, pair % self.heads);
        &values[b * rows * self.width() + h * self.d..]
    }

    /// Both packings of each head: across for scores (d, rows), along for sums (rows, d).
    fn pack(&self, values: &[f32], rows: usize, across: bool) -> Vec<Packed> {
        (0..self.b * self.heads)
            .into_par_iter()
            .map(|pair| {
                let head = self.head(values, rows, pair);
                if across {
                    Packed::transposed(self.d, rows, head, self.width())
                } else {
                    Packed::rows(rows, self.d, head, self.width())
                }
            })
            .collect()
    }

    /// Runs `f(pair, first row, rows)` for all tiles of all heads.
    fn for_tiles(&self, rows: usize, tile: usize, f: impl Fn(usize, usize, usize) + Sync) {
        let tiles = rows.div_ceil(tile);
        (0..self.b * self.heads * tiles).into_par_iter().for_each(|task| {
            let (pair, first) = (task / tiles, task % tiles * tile);
            f(pair, first, tile.min(rows - first));
        });
    }

    /// `out (count, columns) = alpha · rows first.. of a head · right`, where `out` is dense.
    fn scores(&self, out: &mut [f32], head: &[f32], first: usize, count: usize, right: &Packed, alpha: f32) {
        let (n, stride) = (right.n, self.width());
        let stretches = [Stretch { len: self.d, right: Right::Packed(right, 0) }];
        let product = Product { m: count, n, stretches: &stretches, alpha, bias: None, accumulate: false };
        let place = Output::new(&mut out[..count * n]);
        // SAFETY: a row of a head has d floats; each row has its own n floats of the output.
        unsafe {
            product.run_here(|i, row| {
                row.left(0, &head[(first + i) * stride..][..self.d]);
                row.out(place, i * n, n);
            });
        }
    }

    /// Rows `first..` of a head of `out` become `left (count, k) · right (k, d)`.
    ///
    /// # Safety
    /// No other thread uses these rows of this head of `out`.
    #[allow(clippy::too_many_arguments)]
    unsafe fn sums(
        &self,
        out: Output,
        rows: usize,
        pair: usize,
        first: usize,
        count: usize,
        left: &[f32],
        k: usize,
        right: &Packed,
    ) {
        let (b, h) = (pair / self.heads, pair % self.heads);
        let stretches = [Stretch { len: k, right: Right::Packed(right, 0) }];
        let product = Product { m: count, n: self.d, stretches: &stretches, alpha: 1.0, bias: None, accumulate: false };
        // SAFETY: each row has k floats on the left; the caller owns the rows of the output.
        unsafe {
            product.run_here(|i, row| {
                row.left(0, &left[i * k..(i + 1) * k]);
                row.out(out, (b * rows + first + i) * self.width() + h * self.d, self.d);
            });
        }
    }

    fn forward(&self, q: &[f32], k: &[f32], v: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let mut out = vec![0.0; self.b * self.n * self.width()];
        let mut logs = vec![0.0; self.b * self.heads * self.n];
        let (keys, sums) = (self.pack(k, self.m, true), self.pack(v, self.m, false));
        let (place, log_place) = (Output::new(&mut out), Output::new(&mut logs));
        let tile = self.tile(self.m);
        self.for_tiles(self.n, tile, |pair, first, count| {
            let mut scores = vec![0.0; count * self.m];
            self.scores(&mut scores, self.head(q, self.n, pair), first, count, &keys[pair], self.scale());
            // SAFETY: tiles differ in their rows or their head.
            let logs = unsafe { log_place.part(pair * self.n + first, count) };
            for (i, (scores, log)) in scores.chunks_exact_mut(self.m).zip(logs).enumerate() {
                let seen = self.seen(first + i);
                *log = softmax(&mut scores[..seen]);
                scores[seen..].fill(0.0);
            }
            // SAFETY: as above.
            unsafe { self.sums(place, self.n, pair, first, count, &scores, self.m, &sums[pair]) };
        });
        (out, logs)
    }

    /// How many keys query `i` sees.
    fn seen(&self, i: usize) -> usize {
        match self.mask {
            Mask::None => self.m,
            Mask::Causal => (i + 1).min(self.m),
        }
    }

    /// Σ over d of gradient · output for each query of each head, (b, heads, n).
    fn dots(&self, out: &[f32], grad: &[f32]) -> Vec<f32> {
        let mut dots = vec![0.0; self.b * self.heads * self.n];
        values::in_chunks(&mut dots, self.n, |at, dots| {
            let pair = at / self.n;
            let (out, grad) = (self.head(out, self.n, pair), self.head(grad, self.n, pair));
            for (i, dot) in dots.iter_mut().enumerate() {
                let from = i * self.width();
                *dot = out[from..from + self.d].iter().zip(&grad[from..from + self.d]).map(|(a, b)| a * b).sum();
            }
        });
        dots
    }
}

simd! {
    /// Softmax in place; returns the log of the sum of exponentials.
    fn softmax(row: &mut [f32]) -> f32 {
        // 16 partial results, so that the loops have no chain of dependences.
        let mut tops = [f32::NEG_INFINITY; 16];
        let mut chunks = row.chunks_exact(16);
        for chunk in &mut chunks {
            for (top, &x) in tops.iter_mut().zip(chunk) {
                *top = if x > *top { x } else { *top };
            }
        }
        let top = chunks.remainder().iter().chain(&tops).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        let mut sums = [0f32; 16];
        let mut chunks = row.chunks_exact_mut(16);
        for chunk in &mut chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *x = math::exp(*x - top);
                *sum += *x;
            }
        }
        for (sum, x) in sums.iter_mut().zip(chunks.into_remainder()) {
            *x = math::exp(*x - top);
            *sum += *x;
        }
        let sum: f32 = sums.iter().sum();
        let inverse = 1.0 / sum;
        for x in row.iter_mut() {
            *x *= inverse;
        }
        top + sum.ln()
    }
}

simd! {
    /// `slopes = exp(scores - log) · (slopes - dot) · scale`: the gradient of the scores of one query.
    fn slopes_of_query(slopes: &mut [f32], scores: &[f32], log: f32, dot: f32, scale: f32) {
        for (slope, &score) in slopes.iter_mut().zip(scores) {
            *slope = math::exp(score - log) * (*slope - dot) * scale;
        }
    }
}

simd! {
    /// The same for one key against queries: also turns its scores into probabilities.
    fn slopes_of_key(slopes: &mut [f32], scores: &mut [f32], logs: &[f32], dots: &[f32], scale: f32) {
        for (((slope, score), &log), &dot) in slopes.iter_mut().zip(scores).zip(logs).zip(dots) {
            *score = math::exp(*score - log);
            *slope = *score * (*slope - dot) * scale;
        }
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (values::of(q, q_layout)?, values::of(k, k_layout)?, values::of(v, v_layout)?);
        let (out, logs) = self.shape.forward(q, k, v);
        let _ = self.logs.set(logs);
        Ok(values::storage(out, q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        read!(q as qs, k as ks, v as vs, out as outs, grad as gs);
        let Some(logs) = self.logs.get() else { bail!("the forward pass has not run") };
        let s = &self.shape;
        let dots = s.dots(outs, gs);
        let dq = q.track_op().then(|| values::tensor(s.by_queries(qs, ks, vs, gs, logs, &dots), q.shape()));
        let by_keys = (k.track_op() || v.track_op()).then(|| s.by_keys(qs, ks, vs, gs, logs, &dots));
        let (dk, dv) = match by_keys {
            Some((dk, dv)) => (Some(values::tensor(dk, k.shape())?), Some(values::tensor(dv, v.shape())?)),
            None => (None, None),
        };
        Ok((dq.transpose()?, dk.filter(|_| k.track_op()), dv.filter(|_| v.track_op())))
    }
}

impl Dims {
    fn by_queries(&self, q: &[f32], k: &[f32], v: &[f32], grad: &[f32], logs: &[f32], dots: &[f32]) -> Vec<f32> {
        let mut dq = vec![0.0; q.len()];
        let (keys, values) = (self.pack(k, self.m, true), self.pack(v, self.m, true));
        let sums = self.pack(k, self.m, false);
        let place = Output::new(&mut dq);
        self.for_tiles(self.n, self.tile(2 * self.m), |pair, first, count| {
            let mut scores = vec![0.0; count * self.m];
            let mut slopes = vec![0.0; count * self.m];
            self.scores(&mut scores, self.head(q, self.n, pair), first, count, &keys[pair], self.scale());
            self.scores(&mut slopes, self.head(grad, self.n, pair), first, count, &values[pair], 1.0);
            for i in 0..count {
                let (row, seen, at) = (i * self.m, self.seen(first + i), pair * self.n + first + i);
                let slopes = &mut slopes[row..row + self.m];
                slopes_of_query(&mut slopes[..seen], &scores[row..row + seen], logs[at], dots[at], self.scale());
                slopes[seen..].fill(0.0);
            }
            // SAFETY: tiles differ in their rows or their head.
            unsafe { self.sums(place, self.n, pair, first, count, &slopes, self.m, &sums[pair]) };
        });
        dq
    }

    fn by_keys(
        &self,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        grad: &[f32],
        logs: &[f32],
        dots: &[f32],
    ) -> (Vec<f32>, Vec<f32>) {
        let (mut dk, mut dv) = (vec![0.0; k.len()], vec![0.0; v.len()]);
        let (queries, grads) = (self.pack(q, self.n, true), self.pack(grad, self.n, true));
        let (query_sums, grad_sums) = (self.pack(q, self.n, false), self.pack(grad, self.n, false));
        let (dk_place, dv_place) = (Output::new(&mut dk), Output::new(&mut dv));
        self.for_tiles(self.m, self.tile(2 * self.n), |pair, first, count| {
            let mut scores = vec![0.0; count * self.n];
            let mut slopes = vec![0.0; count * self.n];
            self.scores(&mut scores, self.head(k, self.m, pair), first, count, &queries[pair], self.scale());
            self.scores(&mut slopes, self.head(v, self.m, pair), first, count, &grads[pair], 1.0);
            for j in 0..count {
                // The queries before `from` do not see this key.
                let from = if self.mask == Mask::Causal { (first + j).min(self.n) } else { 0 };
                let row = j * self.n;
                let at = pair * self.n;
                scores[row..row + from].fill(0.0);
                slopes[row..row + from].fill(0.0);
                slopes_of_key(
                    &mut slopes[row + from..row + self.n],
                    &mut scores[row + from..row + self.n],
                    &logs[at + from..at + self.n],
                    &dots[at + from..at + self.n],
                    self.scale(),
                );
            }
            // SAFETY: tiles differ in their rows or their head.
            unsafe {
                self.sums(dk_place, self.m, pair, first, count, &slopes, self.n, &query_sums[pair]);
                self.sums(dv_place, self.m, pair, first, count, &scores, self.n, &grad_sums[pair]);
            }
        });
        (dk, dv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{gradients_match, random};
    use candle_core::Device;

    fn composed(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: Mask) -> Result<Tensor> {
        let split = |x: &Tensor| {
            let (b, n, c) = x.dims3()?;
            x.reshape((b, n, heads, c / heads))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (split(q)?, split(k)?, split(v)?);
        let (b, _, n, d) = q.dims4()?;
        let m = k.dim(2)?;
        let mut scores = (q.matmul(&k.t()?)? / (d as f64).sqrt())?;
        if mask == Mask::Causal {
            let mask: Vec<f32> = (0..n * m).map(|i| if i % m > i / m { f32::NEG_INFINITY } else { 0.0 }).collect();
            scores = scores.broadcast_add(&Tensor::from_vec(mask, (n, m), &Device::Cpu)?)?;
        }
        let weights = candle_nn::ops::softmax(&scores, 3)?;
        weights.matmul(&v)?.transpose(1, 2)?.reshape((b, n, heads * d))
    }

    #[test]
    fn matches_the_definition_in_value_and_gradients() -> Result<()> {
        for (b, n, m, heads, d, mask) in [
            (2, 16, 16, 2, 4, Mask::None),
            (1, 144, 77, 2, 32, Mask::None),
            (2, 77, 77, 4, 6, Mask::Causal),
            (1, 1, 5, 1, 3, Mask::None),
            (1, 13, 200, 3, 40, Mask::None),
        ] {
            let args = [
                (random((b, n, heads * d), 1)? * 3.0)?,
                (random((b, m, heads * d), 2)? * 3.0)?,
                random((b, m, heads * d), 3)?,
            ];
            gradients_match(
                &args,
                |a| attention(&a[0], &a[1], &a[2], heads, mask),
                |a| composed(&a[0], &a[1], &a[2], heads, mask),
            )?;
        }
        Ok(())
    }

    #[test]
    fn large_scores_do_not_overflow() -> Result<()> {
        let q = (random((1, 20, 8), 1)? * 1e4)?;
        let out = attention(&q, &q, &q, 1, Mask::None)?;
        assert!(out.flatten_all()?.to_vec1::<f32>()?.iter().all(|x| x.is_finite()));
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let (q, k) = (random((1, 4, 6), 1)?, random((1, 5, 6), 2)?);
        assert!(attention(&q, &k, &k, 4, Mask::None).is_err());
        assert!(attention(&q, &k, &random((1, 4, 6), 3)?, 2, Mask::None).is_err());
        Ok(())
    }
}

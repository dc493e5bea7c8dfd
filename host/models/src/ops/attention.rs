//! Scaled dot-product attention over heads, in blocks of queries and keys whose scores stay in the cache: no n × n thing is
//! ever held (Dao et al. 2022, arXiv:2205.14135). Forward walks over the keys with a running maximum (algorithm 1) and keeps
//! the log of each row's sum of exponentials; backward walks over the queries of each block of keys (algorithm 4) and
//! recomputes the scores from it. How the work is cut depends on shapes alone, so that results don't depend on threads.

use super::gemm::{Output, Packed, Product, Right, Stretch};
use super::kernel;
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
    in_rows(q)?.apply_op3(&in_rows(k)?, &in_rows(v)?, Attention { shape, logs: OnceLock::new() })
}

/// Whether the rows of a tensor (b, n, c) are the same distance apart in all of it, as in a part of a wider one.
fn even(layout: &Layout) -> bool {
    match (layout.dims(), layout.stride()) {
        (&[b, n, _], &[batch, row, 1]) => b <= 1 || batch == n * row,
        _ => false,
    }
}

/// The tensor, or a copy if it does not lie in rows that can be read.
fn in_rows(x: &Tensor) -> Result<Tensor> {
    if even(x.layout()) { Ok(x.clone()) } else { x.contiguous() }
}

/// Rows of all heads, side by side or as parts of wider ones.
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    /// Floats from one row to the next.
    stride: usize,
}

impl<'a> Rows<'a> {
    fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Rows<'a>> {
        let CpuStorage::F32(values) = storage else { bail!("expected f32 values") };
        if !even(layout) {
            bail!("expected rows, found strides {:?} for shape {:?}", layout.stride(), layout.shape());
        }
        Ok(Rows { values: &values[layout.start_offset()..], stride: layout.stride()[1] })
    }
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

/// Rows of the left side of a block of scores: whole tiles of the kernel.
const ROWS: usize = 8 * kernel::ROWS;
/// Columns of a block in the forward pass, and in the backward pass, which holds two blocks.
const FORWARD: usize = 512;
const BACKWARD: usize = 256;
/// Floats between the rows of a block beyond its columns, so that rows don't meet in the same lines of the cache.
const APART: usize = 16;
/// Tasks that the backward pass is cut into at least, if there are blocks enough.
const TASKS: usize = 16;

/// A block of rows of a head that stand on the right of products.
struct Block {
    first: usize,
    /// (d, rows), for scores.
    across: Option<Packed>,
    /// (rows, d), for sums.
    along: Option<Packed>,
}

impl Block {
    fn packed(&self, across: bool) -> &Packed {
        if across { self.across.as_ref() } else { self.along.as_ref() }.expect("packed for this")
    }
}

/// Which packings of the blocks a pass needs.
#[derive(Clone, Copy)]
struct Needs {
    across: bool,
    along: bool,
}

impl Dims {
    fn width(&self) -> usize {
        self.heads * self.d
    }

    fn scale(&self) -> f32 {
        1.0 / (self.d as f32).sqrt()
    }

    fn pairs(&self) -> usize {
        self.b * self.heads
    }

    /// Rows that lie side by side.
    fn dense<'a>(&self, values: &'a [f32]) -> Rows<'a> {
        Rows { values, stride: self.width() }
    }

    /// Where row `row` of a head lies in a (b, rows, width) tensor.
    fn at(&self, rows: usize, pair: usize, row: usize) -> usize {
        self.at_in(self.width(), rows, pair, row)
    }

    /// The same if rows are `stride` floats apart.
    fn at_in(&self, stride: usize, rows: usize, pair: usize, row: usize) -> usize {
        ((pair / self.heads) * rows + row) * stride + pair % self.heads * self.d
    }

    /// One head's rows of a (b, rows, width) tensor, from row `first` on.
    fn head<'a>(&self, all: Rows<'a>, rows: usize, pair: usize, first: usize) -> Rows<'a> {
        Rows { values: &all.values[self.at_in(all.stride, rows, pair, first)..], ..all }
    }

    /// The blocks of `columns` rows of each head.
    fn blocks(&self, all: Rows<'_>, rows: usize, columns: usize, needs: Needs) -> Vec<Vec<Block>> {
        let block = |pair: usize, first: usize| {
            let (head, count) = (self.head(all, rows, pair, first), columns.min(rows - first));
            let across = needs.across.then(|| Packed::transposed(self.d, count, head.values, head.stride));
            let along = needs.along.then(|| Packed::rows(count, self.d, head.values, head.stride));
            Block { first, across, along }
        };
        (0..self.pairs())
            .into_par_iter()
            .map(|pair| (0..rows).step_by(columns).map(|first| block(pair, first)).collect())
            .collect()
    }

    /// `out (count, right.n) = alpha · head (count, d) · right`, with rows of `out` `stride` floats apart.
    fn scores(&self, out: &mut [f32], stride: usize, head: Rows<'_>, count: usize, right: &Packed, alpha: f32) {
        let n = right.n;
        let stretches = [Stretch { len: self.d, step: 1, right: Right::Packed(right, 0) }];
        let product = Product { m: count, n, stretches: &stretches, alpha, bias: None, accumulate: false };
        let place = Output::new(out);
        // SAFETY: a row of a head has d floats; each row has its own n floats of the output.
        unsafe {
            product.run_here(|i, row| {
                row.left(0, &head.values[i * head.stride..][..self.d]);
                row.out(place, i * stride, n);
            });
        }
    }

    /// `out (count, d) += left (count, right.k) · right`, with rows of `left` `stride` floats apart, or with its columns so
    /// far apart if it is read across; row i of `out` begins at `at + i · apart`.
    ///
    /// # Safety
    /// No other thread uses these floats of `out`.
    #[allow(clippy::too_many_arguments)]
    unsafe fn sums(
        &self,
        out: Output,
        at: usize,
        apart: usize,
        left: &[f32],
        stride: usize,
        across: bool,
        count: usize,
        right: &Packed,
    ) {
        let (step, between) = if across { (stride, 1) } else { (1, stride) };
        let stretches = [Stretch { len: right.k, step, right: Right::Packed(right, 0) }];
        let product = Product { m: count, n: self.d, stretches: &stretches, alpha: 1.0, bias: None, accumulate: true };
        // SAFETY: each row has as many floats on the left as it reads; the caller owns the rows of the output.
        unsafe {
            product.run_here(|i, row| {
                row.left(0, &left[i * between..][..(right.k - 1) * step + 1]);
                row.out(out, at + i * apart, self.d);
            });
        }
    }

    fn forward(&self, q: Rows<'_>, k: Rows<'_>, v: Rows<'_>) -> (Vec<f32>, Vec<f32>) {
        let mut out = vec![0.0; self.b * self.n * self.width()];
        let mut logs = vec![0.0; self.pairs() * self.n];
        let keys = self.blocks(k, self.m, FORWARD, Needs { across: true, along: false });
        let sums = self.blocks(v, self.m, FORWARD, Needs { across: false, along: true });
        let (place, log_place) = (Output::new(&mut out), Output::new(&mut logs));
        let (tiles, stride) = (self.n.div_ceil(ROWS), FORWARD.min(self.m) + APART);
        (0..self.pairs() * tiles).into_par_iter().for_each_init(
            || vec![0.0; ROWS * stride],
            |scores, task| {
                let (pair, first) = (task / tiles, task % tiles * ROWS);
                let count = ROWS.min(self.n - first);
                let (mut tops, mut totals) = ([f32::NEG_INFINITY; ROWS], [0f32; ROWS]);
                for (keys, sums) in keys[pair].iter().zip(&sums[pair]) {
                    if self.seen(first + count - 1) <= keys.first {
                        break;
                    }
                    let keys_here = keys.packed(true);
                    self.scores(scores, stride, self.head(q, self.n, pair, first), count, keys_here, self.scale());
                    for i in 0..count {
                        let seen = self.seen(first + i).saturating_sub(keys.first).min(keys_here.n);
                        let row = &mut scores[i * stride..][..keys_here.n];
                        row[seen..].fill(0.0);
                        if seen == 0 {
                            continue;
                        }
                        let (top, total) = exponentials(&mut row[..seen], tops[i]);
                        let old = (tops[i] - top).exp();
                        // SAFETY: tiles differ in their rows or their head.
                        let out = unsafe { place.part(self.at(self.n, pair, first + i), self.d) };
                        if old != 1.0 && totals[i] > 0.0 {
                            out.iter_mut().for_each(|x| *x *= old);
                        }
                        (tops[i], totals[i]) = (top, totals[i] * old + total);
                    }
                    let at = self.at(self.n, pair, first);
                    // SAFETY: as above.
                    unsafe { self.sums(place, at, self.width(), scores, stride, false, count, sums.packed(false)) };
                }
                // SAFETY: as above.
                let logs = unsafe { log_place.part(pair * self.n + first, count) };
                for (i, log) in logs.iter_mut().enumerate() {
                    *log = tops[i] + totals[i].ln();
                    // SAFETY: as above.
                    let out = unsafe { place.part(self.at(self.n, pair, first + i), self.d) };
                    let inverse = 1.0 / totals[i];
                    out.iter_mut().for_each(|x| *x *= inverse);
                }
            },
        );
        (out, logs)
    }

    /// How many keys query `i` sees.
    fn seen(&self, i: usize) -> usize {
        match self.mask {
            Mask::None => self.m,
            Mask::Causal => (i + 1).min(self.m),
        }
    }

    /// How many queries do not see key `j`: those before it.
    fn blind(&self, j: usize) -> usize {
        match self.mask {
            Mask::None => 0,
            Mask::Causal => j.min(self.n),
        }
    }

    /// Σ over d of gradient · output for each query of each head, (b, heads, n).
    fn dots(&self, out: &[f32], grad: &[f32]) -> Vec<f32> {
        let mut dots = vec![0.0; self.pairs() * self.n];
        values::in_chunks(&mut dots, self.n, |at, dots| {
            let pair = at / self.n;
            let head = |all| self.head(self.dense(all), self.n, pair, 0).values;
            let (out, grad) = (head(out), head(grad));
            for (i, dot) in dots.iter_mut().enumerate() {
                let from = i * self.width();
                *dot = out[from..from + self.d].iter().zip(&grad[from..from + self.d]).map(|(a, b)| a * b).sum();
            }
        });
        dots
    }
}

simd! {
    /// Scores become exponentials over their maximum, or over `top` if that is larger; returns that maximum and their sum.
    fn exponentials(row: &mut [f32], top: f32) -> (f32, f32) {
        // 16 partial results, so that the loops have no chain of dependences.
        let mut tops = [top; 16];
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
        (top, sums.iter().sum())
    }
}

simd! {
    /// For one key against queries: `scores` become probabilities, and `slopes = scores · (slopes - dot) · scale`, which is
    /// the gradient of the scores.
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
        let (q, k, v) = (Rows::of(q, q_layout)?, Rows::of(k, k_layout)?, Rows::of(v, v_layout)?);
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
        let (grad, wanted) = (grad.contiguous()?, [q, k, v].map(|x| x.track_op()));
        let (q, k, v) = (&q.contiguous()?, &k.contiguous()?, &v.contiguous()?);
        read!(q as qs, k as ks, v as vs, out as outs, grad as gs);
        let Some(logs) = self.logs.get() else { bail!("the forward pass has not run") };
        let s = &self.shape;
        let forward = Kept { q: qs, k: ks, v: vs, grad: gs, logs, dots: &s.dots(outs, gs) };
        let [dq, dk, dv] = s.backward(&forward, wanted);
        let tensor = |values: Option<Vec<f32>>, like: &Tensor| {
            values.map(|values| values::tensor(values, like.shape())).transpose()
        };
        Ok((tensor(dq, q)?, tensor(dk, k)?, tensor(dv, v)?))
    }
}

/// What the backward pass reads.
struct Kept<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    /// The output's gradient.
    grad: &'a [f32],
    logs: &'a [f32],
    dots: &'a [f32],
}

impl Dims {
    /// The gradients of queries, keys and values, of those that are wanted.
    fn backward(&self, kept: &Kept<'_>, wanted: [bool; 3]) -> [Option<Vec<f32>>; 3] {
        let [wants_q, wants_k, wants_v] = wanted;
        let queries = self.blocks(self.dense(kept.q), self.n, BACKWARD, Needs { across: true, along: wants_k });
        let grads = self.blocks(self.dense(kept.grad), self.n, BACKWARD, Needs { across: true, along: wants_v });
        let tiles = self.m.div_ceil(ROWS);
        // Each share of the keys has its own sum of the queries' gradients; they are added in order at the end.
        let shares = TASKS.div_ceil(self.pairs()).min(tiles);
        let each = tiles.div_ceil(shares);
        let mut dq = vec![0.0; if wants_q { shares * kept.q.len() } else { 0 }];
        let mut dk = wants_k.then(|| vec![0.0; kept.k.len()]);
        let mut dv = wants_v.then(|| vec![0.0; kept.v.len()]);
        let dq_place = Output::new(&mut dq);
        let dk_place = dk.as_mut().map(|dk| Output::new(dk));
        let dv_place = dv.as_mut().map(|dv| Output::new(dv));
        let stride = BACKWARD.min(self.n) + APART;
        (0..self.pairs() * shares).into_par_iter().for_each(|task| {
            let (pair, share) = (task / shares, task % shares);
            let (mut scores, mut slopes) = (vec![0.0; ROWS * stride], vec![0.0; ROWS * stride]);
            for tile in share * each..((share + 1) * each).min(tiles) {
                let first = tile * ROWS;
                let count = ROWS.min(self.m - first);
                let head = |all| self.head(self.dense(all), self.m, pair, first);
                let (key, value) = (head(kept.k), head(kept.v));
                let keys = wants_q.then(|| Packed::rows(count, self.d, key.values, key.stride));
                for (queries, grads) in queries[pair].iter().zip(&grads[pair]) {
                    let columns = queries.packed(true).n;
                    if self.blind(first) >= queries.first + columns {
                        continue;
                    }
                    self.scores(&mut scores, stride, key, count, queries.packed(true), self.scale());
                    self.scores(&mut slopes, stride, value, count, grads.packed(true), 1.0);
                    for j in 0..count {
                        let from = self.blind(first + j).saturating_sub(queries.first).min(columns);
                        let (blind, scores) = scores[j * stride..][..columns].split_at_mut(from);
                        blind.fill(0.0);
                        let (blind, slopes) = slopes[j * stride..][..columns].split_at_mut(from);
                        blind.fill(0.0);
                        let at = pair * self.n + queries.first;
                        let (logs, dots) = (&kept.logs[at + from..at + columns], &kept.dots[at + from..at + columns]);
                        slopes_of_key(slopes, scores, logs, dots, self.scale());
                    }
                    let at = self.at(self.m, pair, first);
                    // SAFETY: tasks differ in their keys or their head, or, where they share queries, in the sum they add to.
                    unsafe {
                        if let Some(out) = dv_place {
                            self.sums(out, at, self.width(), &scores, stride, false, count, grads.packed(false));
                        }
                        if let Some(out) = dk_place {
                            self.sums(out, at, self.width(), &slopes, stride, false, count, queries.packed(false));
                        }
                        if let Some(keys) = &keys {
                            let at = share * kept.q.len() + self.at(self.n, pair, queries.first);
                            self.sums(dq_place, at, self.width(), &slopes, stride, true, columns, keys);
                        }
                    }
                }
            }
        });
        let dq = wants_q.then(|| {
            let (sum, others) = dq.split_at_mut(kept.q.len());
            for other in others.chunks_exact(kept.q.len().max(1)) {
                sum.par_iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
            }
            dq.truncate(kept.q.len());
            dq
        });
        [dq, dk, dv]
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
            // Several blocks both ways, whole and not, and several shares of the keys.
            (1, 300, 700, 2, 8, Mask::None),
            (1, 700, 700, 1, 20, Mask::Causal),
            // A head of many panels.
            (1, 110, 130, 1, 300, Mask::None),
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
    fn parts_of_wider_rows_are_read_where_they_lie() -> Result<()> {
        for b in [1, 2] {
            let all = random((b, 130, 3 * 24), 1)?;
            let part = |all: &Tensor, i: usize| all.narrow(2, i * 24, 24);
            assert!(even(part(&all, 1)?.layout()) && !even(all.transpose(1, 2)?.layout()));
            gradients_match(
                &[all],
                |a| attention(&part(&a[0], 0)?, &part(&a[0], 1)?, &part(&a[0], 2)?, 3, Mask::None),
                |a| composed(&part(&a[0], 0)?, &part(&a[0], 1)?, &part(&a[0], 2)?, 3, Mask::None),
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

//! Products of whole matrices out of [`kernel`] tiles, in parallel, with results that do not depend on the number of
//! threads: each output is one sum in a fixed order, whoever computes it.

use super::kernel::{self, Finish, LANES, PANEL, ROWS, Run};
use super::source::Source;
use candle_core::Result;
use rayon::prelude::*;

/// 64-byte aligned floats, so that a vector load never straddles cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line([f32; LANES]);

impl Line {
    pub(crate) const ZERO: Line = Line([0.0; LANES]);
}

/// A right side (k, n) cut into panels of 32 columns (the last of 16 if that is enough), each stored row by row.
pub(crate) struct Packed {
    lines: Vec<Line>,
    pub(crate) k: usize,
    pub(crate) n: usize,
}

impl Packed {
    /// Packs a right side whose panels `fill(first column, columns, panel)` writes, row by row.
    fn panels(k: usize, n: usize, fill: impl Fn(usize, usize, &mut [f32]) + Sync) -> Packed {
        let mut lines = vec![Line::ZERO; k * n.div_ceil(LANES)];
        if k == 0 || n == 0 {
            return Packed { lines, k, n };
        }
        let fill = |(panel, lines): (usize, &mut [Line])| {
            let first = panel * PANEL;
            fill(first, (n - first).min(PANEL), floats_mut(lines));
        };
        let per_panel = k * (PANEL / LANES);
        if k * n > 1 << 16 {
            lines.par_chunks_mut(per_panel).enumerate().for_each(fill);
        } else {
            lines.chunks_mut(per_panel).enumerate().for_each(fill);
        }
        Packed { lines, k, n }
    }

    /// Packs a row-major (k, n) right side whose rows are `stride` floats apart.
    pub(crate) fn rows(k: usize, n: usize, values: &[f32], stride: usize) -> Packed {
        Packed::panels(k, n, |first, columns, panel| {
            for (row, out) in panel.chunks_exact_mut(columns.next_multiple_of(LANES)).enumerate() {
                out[..columns].copy_from_slice(&values[row * stride + first..][..columns]);
            }
        })
    }

    /// Packs the transpose of a row-major (n, k) matrix whose rows are `stride` floats apart.
    pub(crate) fn transposed(k: usize, n: usize, values: &[f32], stride: usize) -> Packed {
        Packed::panels(k, n, |first, columns, panel| {
            let wide = columns.next_multiple_of(LANES);
            // In blocks of rows, so that the lines written to stay in the cache while all columns pass.
            for begin in (0..k).step_by(LANES) {
                let count = (k - begin).min(LANES);
                for column in 0..columns {
                    let from = &values[(first + column) * stride + begin..][..count];
                    for (out, value) in panel[begin * wide + column..].iter_mut().step_by(wide).zip(from) {
                        *out = *value;
                    }
                }
            }
        })
    }

    /// Packs a weight (out, in, taps) as the right side (taps·in, out): row t·in + i, column o. Of the weight itself only a
    /// panel's rows are held at a time by each thread.
    pub(crate) fn weight(source: &dyn Source, taps: usize, inp: usize, out: usize) -> Result<Packed> {
        let (k, n, width) = (taps * inp, out, taps * inp);
        let mut lines = vec![Line::ZERO; k * n.div_ceil(LANES)];
        if k == 0 || n == 0 {
            return Ok(Packed { lines, k, n });
        }
        let opened = source.opened()?;
        let source = opened.as_deref().unwrap_or(source);
        let fill = |(panel, lines): (usize, &mut [Line])| -> Result<()> {
            let first = panel * PANEL;
            let columns = (n - first).min(PANEL);
            let per_row = columns.div_ceil(LANES);
            let mut rows = vec![0f32; columns * width];
            source.rows(first, &mut rows)?;
            // In blocks of inputs, so that the lines written to stay in the cache while all columns pass.
            for begin in (0..inp).step_by(LANES) {
                let end = (begin + LANES).min(inp);
                for (column, row) in rows.chunks_exact(width).enumerate() {
                    let (v, lane) = (column / LANES, column % LANES);
                    for (i, taps_of) in (begin..end).zip(row[begin * taps..end * taps].chunks_exact(taps)) {
                        for (t, value) in taps_of.iter().enumerate() {
                            lines[(t * inp + i) * per_row + v].0[lane] = *value;
                        }
                    }
                }
            }
            Ok(())
        };
        let per_panel = k * (PANEL / LANES);
        if k * n > 1 << 16 {
            lines.par_chunks_mut(per_panel).enumerate().try_for_each(fill)?;
        } else {
            lines.chunks_mut(per_panel).enumerate().try_for_each(fill)?;
        }
        Ok(Packed { lines, k, n })
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        std::mem::size_of_val(&self.lines[..])
    }

    /// All values where they lie: panel by panel, in each row by row, and in each row 16 or 32 columns.
    pub(crate) fn floats(&self) -> &[f32] {
        floats(&self.lines)
    }

    /// The rows of one panel, each of 16 or 32 columns.
    pub(crate) fn panel(&self, panel: usize) -> &[f32] {
        let (first, lines) = (panel * PANEL, self.k * (PANEL / LANES));
        assert!(first < self.n, "no such panel");
        floats(&self.lines[panel * lines..((panel + 1) * lines).min(self.lines.len())])
    }

    /// The value at row `k`, column `n`.
    #[cfg(test)]
    pub(crate) fn get(&self, k: usize, n: usize) -> f32 {
        let first = n / PANEL * PANEL;
        let per_row = (self.n - first).min(PANEL).div_ceil(LANES);
        self.lines[first / LANES * self.k + k * per_row + (n - first) / LANES].0[n % LANES]
    }
}

fn floats(lines: &[Line]) -> &[f32] {
    // SAFETY: a line is its floats, without padding: 16 of 4 bytes, aligned to 64.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LANES) }
}

pub(crate) fn floats_mut(lines: &mut [Line]) -> &mut [f32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

/// A right side that is made a panel at a time, when the product comes to it.
pub(crate) trait Panels: Sync {
    /// Rows of each panel.
    fn rows(&self) -> usize;

    /// Writes a panel as [`Packed`] has it: its rows of `lanes` columns, 16 or 32.
    fn fill(&self, panel: usize, lanes: usize, out: &mut [f32]);
}

thread_local! {
    /// The panel that this thread computes with, so that its memory is asked for once.
    static MADE: std::cell::Cell<Vec<Line>> = const { std::cell::Cell::new(Vec::new()) };
}

/// A right side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Packed panels, of which the rows from the given one on are used.
    Packed(&'a Packed, usize),
    /// A row-major matrix as it lies, rows `stride` floats apart; its columns are a multiple of 16.
    Plain(&'a [f32], usize),
    /// Panels that are made when they are needed, of which the rows from the given one on are used. All stretches of a
    /// product that are made are parts of one thing.
    Made(&'a dyn Panels, usize),
}

/// One stretch of the reduction: `len` products with a right side.
#[derive(Clone, Copy)]
pub(crate) struct Stretch<'a> {
    pub(crate) len: usize,
    /// Floats from one factor of a row of the left side to the next: 1, but for a left side that is read across.
    pub(crate) step: usize,
    pub(crate) right: Right<'a>,
}

/// A part of a reduction whose share of the right side stays in the first-level cache.
struct Part {
    /// The stretch it begins in.
    first: usize,
    /// For each stretch from there on, where it begins and how many products it has.
    pieces: Vec<(usize, usize)>,
}

/// What one product computes; the left side and the output's place are given row by row.
pub(crate) struct Product<'a> {
    /// Rows.
    pub(crate) m: usize,
    /// Columns.
    pub(crate) n: usize,
    /// The reduction, in order.
    pub(crate) stretches: &'a [Stretch<'a>],
    /// Factor on the sums.
    pub(crate) alpha: f32,
    /// Added to every row.
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether the sums are added to what the output holds.
    pub(crate) accumulate: bool,
}

/// Where one row's left sides begin, one for each stretch, and where its output goes.
pub(crate) struct Row<'t> {
    left: &'t mut [*const f32],
    out: &'t mut *mut f32,
}

impl Row<'_> {
    /// The left side of stretch `index` is the beginning of `values`.
    pub(crate) fn left(&mut self, index: usize, values: &[f32]) {
        self.left[index * ROWS] = values.as_ptr();
    }

    /// The output is `columns` floats from `at` on.
    pub(crate) fn out(&mut self, out: Output, at: usize, columns: usize) {
        assert!(at + columns <= out.len, "a row of the output lies outside of it");
        *self.out = out.start.wrapping_add(at);
    }
}

/// An output that several threads write, each its own rows and columns.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    start: *mut f32,
    len: usize,
}

// SAFETY: tasks write disjoint rows and columns, which `Product::run` asks of `row`.
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    pub(crate) fn new(values: &mut [f32]) -> Output {
        Output { start: values.as_mut_ptr(), len: values.len() }
    }

    /// `count` floats from `at` on.
    ///
    /// # Safety
    /// The output outlives the slice, and nobody else uses these floats meanwhile.
    pub(crate) unsafe fn part<'a>(self, at: usize, count: usize) -> &'a mut [f32] {
        assert!(at + count <= self.len, "a part of the output lies outside of it");
        // SAFETY: within the output, as asserted; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), count) }
    }
}

/// Products below this many multiplications are not worth waking a thread.
const SERIAL: usize = 1 << 19;
/// Tiles of rows that share a panel while it is in the cache.
const TILES: usize = 32;
/// The same for a panel that has to be made first: enough rows to pay for that.
const MADE_TILES: usize = 64;

impl Product<'_> {
    /// Computes the product, on all threads where it is large enough.
    ///
    /// # Safety
    /// For each row below `m`, `row` sets the left side of every stretch to at least `len` floats and the output to `n`
    /// floats that stay valid during the call; different rows get different outputs.
    pub(crate) unsafe fn run(&self, row: impl Fn(usize, &mut Row<'_>) + Sync) {
        let tiles = self.m.div_ceil(ROWS);
        let panels = self.n.div_ceil(PANEL);
        let depth: usize = self.stretches.iter().map(|s| s.len).sum();
        if self.m * self.n * depth < SERIAL || rayon::current_num_threads() == 1 {
            // Shares of about the same size that are read again from a near cache, but for panels that are made only once.
            let shares = if self.made().is_some() { 1 } else { tiles.div_ceil(TILES).max(1) };
            let rows = (tiles.div_ceil(shares) * ROWS).max(1);
            for first in (0..self.m).step_by(rows) {
                // SAFETY: passed on from the caller.
                unsafe { self.block(first..(first + rows).min(self.m), 0..panels, &row) };
            }
            return;
        }
        // Rows that share a panel; where panels need not be made, as many shares as two, four or eight threads finish together.
        let (most, shares) = if self.made().is_some() { (MADE_TILES, 1) } else { (TILES, 8) };
        let row_tasks = tiles.div_ceil(most).next_multiple_of(shares).min(tiles);
        let per_task = tiles.div_ceil(row_tasks);
        let row_tasks = tiles.div_ceil(per_task);
        let column_tasks = if row_tasks >= 8 { 1 } else { panels.min(8usize.div_ceil(row_tasks)) };
        let panels_each = panels.div_ceil(column_tasks);
        (0..row_tasks * column_tasks).into_par_iter().for_each(|task| {
            let (rows, columns) = (task / column_tasks, task % column_tasks);
            let rows = rows * per_task * ROWS..((rows + 1) * per_task * ROWS).min(self.m);
            let columns = (columns * panels_each).min(panels)..((columns + 1) * panels_each).min(panels);
            // SAFETY: passed on from the caller; tasks differ in their rows or in their columns.
            unsafe { self.block(rows, columns, &row) };
        });
    }

    /// Computes the product on this thread.
    ///
    /// # Safety
    /// As [`Product::run`].
    pub(crate) unsafe fn run_here(&self, row: impl Fn(usize, &mut Row<'_>)) {
        let panels = self.n.div_ceil(PANEL);
        for first in (0..self.m).step_by(TILES * ROWS) {
            // SAFETY: passed on from the caller.
            unsafe { self.block(first..(first + TILES * ROWS).min(self.m), 0..panels, &row) };
        }
    }

    /// # Safety
    /// As [`Product::run`].
    unsafe fn block(
        &self,
        rows: std::ops::Range<usize>,
        panels: std::ops::Range<usize>,
        row: &impl Fn(usize, &mut Row<'_>),
    ) {
        let count = self.stretches.len();
        let tiles = rows.len().div_ceil(ROWS);
        let mut left = vec![std::ptr::null::<f32>(); tiles * count * ROWS];
        let mut out = vec![[std::ptr::null_mut::<f32>(); ROWS]; tiles];
        for index in rows.clone() {
            let (tile, r) = ((index - rows.start) / ROWS, (index - rows.start) % ROWS);
            // Without stretches there is nothing on the left, and the product is the bias.
            let left = left.get_mut(tile * count * ROWS + r..).unwrap_or_default();
            row(index, &mut Row { left, out: &mut out[tile][r] });
        }
        let parts = self.parts();
        let mut runs = Vec::with_capacity(count);
        let mut made = MADE.take();
        let mut compute = |part: &Part, panel: usize, made: &[Line]| {
            let (first, width) = (panel * PANEL, kernel::width());
            let columns = (self.n - first).min(PANEL);
            // The first part begins the sums, the others add to them.
            let begins = std::ptr::eq(part, &parts[0]);
            let bias = self.bias.filter(|_| begins).map_or(std::ptr::null(), |bias| bias[..self.n].as_ptr());
            let finish = Finish { alpha: self.alpha, bias, accumulate: self.accumulate || !begins };
            // The share of the right side stays while all rows pass.
            for offset in (0..columns).step_by(width) {
                runs.clear();
                let stretches = self.stretches[part.first..].iter().zip(&part.pieces);
                runs.extend(stretches.map(|(s, piece)| s.run(first, columns, offset, *piece, made)));
                for (tile, out) in out.iter().enumerate() {
                    let height = (rows.len() - tile * ROWS).min(ROWS);
                    let left = left.get((tile * count + part.first) * ROWS..).unwrap_or_default();
                    let columns = (columns - offset).min(width);
                    // SAFETY: `row` has set pointers for `height` rows; `Stretch::run` checks the right side.
                    unsafe { kernel::tile(height, first + offset, columns, &runs, left, out, finish) };
                }
            }
        };
        let source = self.made();
        for panel in panels {
            if let Some(source) = source {
                let lanes = (self.n - panel * PANEL).min(PANEL).next_multiple_of(LANES);
                let lines = source.rows() * (lanes / LANES);
                if made.len() < lines {
                    made.resize(lines, Line::ZERO);
                }
                source.fill(panel, lanes, floats_mut(&mut made[..lines]));
            }
            parts.iter().for_each(|part| compute(part, panel, &made));
        }
        MADE.set(made);
    }

    /// The reduction in parts of about the same size, none much deeper than [`kernel::depth`]; at least one.
    fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part { first: 0, pieces: Vec::new() }];
        let mut room = kernel::depth();
        for (index, stretch) in self.stretches.iter().enumerate() {
            let pieces = stretch.len.div_ceil(kernel::depth()).max(1);
            let each = stretch.len.div_ceil(pieces);
            for piece in 0..pieces {
                let from = (piece * each).min(stretch.len);
                let len = each.min(stretch.len - from);
                if len > room || piece > 0 {
                    parts.push(Part { first: index, pieces: Vec::new() });
                    room = kernel::depth();
                }
                room = room.saturating_sub(len);
                parts.last_mut().expect("there is one").pieces.push((from, len));
            }
        }
        parts
    }

    /// What has to be made before it can be used.
    fn made(&self) -> Option<&dyn Panels> {
        self.stretches.iter().find_map(|stretch| match stretch.right {
            Right::Made(panels, _) => Some(panels),
            _ => None,
        })
    }
}

impl Stretch<'_> {
    /// The pointers of a piece (its beginning and length) for the panel that begins at column `first`, from `offset` on.
    fn run(&self, first: usize, columns: usize, offset: usize, (skip, len): (usize, usize), made: &[Line]) -> Run {
        let wide = columns.next_multiple_of(LANES);
        let (right, step) = match self.right {
            Right::Packed(packed, from) => {
                assert!(from + self.len <= packed.k && first + columns <= packed.n, "right side too small");
                let line = first / LANES * packed.k + (from + skip) * (wide / LANES);
                (floats(&packed.lines[line..]), wide)
            }
            Right::Made(panels, from) => {
                assert!(from + self.len <= panels.rows(), "right side too small");
                (floats(&made[(from + skip) * (wide / LANES)..]), wide)
            }
            Right::Plain(values, stride) => {
                let end = if self.len == 0 { 0 } else { (self.len - 1) * stride + first + wide };
                assert!(end <= values.len(), "right side too small");
                (&values[(skip * stride + first).min(values.len())..], stride)
            }
        };
        let right = if len == 0 { right.as_ptr() } else { right[offset..].as_ptr() };
        Run { len, skip: skip * self.step, left_step: self.step, right, step }
    }
}

/// `out (m, n) = alpha · left (m, k) · right + bias`, all row-major and dense.
#[allow(clippy::too_many_arguments)] // A product has this many sizes and factors, and no part of them is a thing.
pub(crate) fn multiply(
    out: &mut [f32],
    left: &[f32],
    m: usize,
    k: usize,
    n: usize,
    right: Right<'_>,
    alpha: f32,
    bias: Option<&[f32]>,
) {
    assert!(left.len() >= m * k && out.len() >= m * n, "matrices smaller than said");
    let product = Product { m, n, stretches: &[Stretch { len: k, step: 1, right }], alpha, bias, accumulate: false };
    let place = Output::new(out);
    // SAFETY: each row has k floats on the left and its own n floats of the output, as asserted.
    unsafe {
        product.run(|i, row| {
            row.left(0, &left[i * k..(i + 1) * k]);
            row.out(place, i * n, n);
        });
    }
}

/// `leftᵀ (m, k) · right (k, n)` for `left` (k, m) and `right` (k, n), both row-major: the form of a weight's gradient.
/// Returns (m, n).
pub(crate) fn multiply_transposed(left: &[f32], right: &[f32], k: usize, m: usize, n: usize, alpha: f32) -> Vec<f32> {
    let across = transpose(left, k, m);
    let mut out = vec![0.0; m * n];
    if n > 0 && n.is_multiple_of(LANES) {
        multiply(&mut out, &across, m, k, n, Right::Plain(right, n), alpha, None);
    } else {
        let packed = Packed::rows(k, n, right, n);
        multiply(&mut out, &across, m, k, n, Right::Packed(&packed, 0), alpha, None);
    }
    out
}

/// The transpose (columns, rows) of a row-major matrix (rows, columns).
pub(crate) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const BLOCK: usize = 16;
    let mut out = vec![0.0; rows * columns];
    for r0 in (0..rows).step_by(BLOCK) {
        for c0 in (0..columns).step_by(BLOCK) {
            for r in r0..(r0 + BLOCK).min(rows) {
                for c in c0..(c0 + BLOCK).min(columns) {
                    out[c * rows + r] = values[r * columns + c];
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| (((i + seed) * 7919 % 1009) as f32 - 504.0) / 504.0).collect()
    }

    #[test]
    fn products_match_the_definition_in_any_size() {
        for (m, k, n) in [(1, 1, 1), (5, 3, 40), (13, 17, 33), (77, 40, 77), (200, 64, 96), (30, 600, 300)] {
            let (left, right) = (values(m * k, 1), values(k * n, 2));
            let bias = values(n, 3);
            let mut out = vec![0.0; m * n];
            let packed = Packed::rows(k, n, &right, n);
            multiply(&mut out, &left, m, k, n, Right::Packed(&packed, 0), 2.0, Some(&bias));
            let flipped = Packed::transposed(k, n, &transpose(&right, k, n), k);
            for i in 0..m {
                for j in 0..n {
                    let want: f32 = (0..k).map(|t| left[i * k + t] * right[t * n + j]).sum::<f32>() * 2.0 + bias[j];
                    assert!((out[i * n + j] - want).abs() < 1e-3, "{m} {k} {n}");
                }
            }
            assert!((0..k).all(|i| (0..n).all(|j| packed.get(i, j) == right[i * n + j])));
            assert!((0..k).all(|i| (0..n).all(|j| flipped.get(i, j) == right[i * n + j])));
            let gradient = multiply_transposed(&transpose(&left, m, k), &right, k, m, n, 2.0);
            let worst = out.iter().enumerate().map(|(i, o)| (o - bias[i % n] - gradient[i]).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{worst}");
        }
    }

    #[test]
    fn weights_are_packed_for_the_forward_pass() -> Result<()> {
        use crate::ops::source::Owned;
        use crate::ops::testing::random;
        for (out, inp, taps) in [(1, 1, 1), (40, 24, 1), (17, 33, 9), (100, 70, 4), (300, 260, 1)] {
            let weight = random((out, inp, taps), 5)?;
            let values = weight.flatten_all()?.to_vec1::<f32>()?;
            let forward = Packed::weight(&Owned::new(&weight)?, taps, inp, out)?;
            for (o, i, t) in (0..out * inp * taps).map(|x| (x / taps / inp, x / taps % inp, x % taps)) {
                let value = values[(o * inp + i) * taps + t];
                assert_eq!(forward.get(t * inp + i, o), value);
            }
        }
        Ok(())
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let (m, k, n) = (150, 90, 130);
        let (left, right) = (values(m * k, 1), values(k * n, 2));
        let packed = Packed::rows(k, n, &right, n);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; m * n];
            pool.install(|| multiply(&mut out, &left, m, k, n, Right::Packed(&packed, 0), 1.0, None));
            out
        };
        assert_eq!(run(1), run(3));
    }
}

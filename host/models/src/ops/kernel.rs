//! The matrix kernel: up to 12 rows by 32 columns of a product are kept in registers while a part of the reduction runs.
//!
//! Rows of the left side are given by pointers, one per row and stretch, so that a convolution reads its shifted inputs
//! where they lie (no im2col) and a padded pixel is a pointer to zeros. A left side may also be read across, which makes
//! a product with a transpose of what lies in memory.

use super::simd::{Level, level};

/// Most rows of one tile. 12 rows × 2 vectors leave room for the right side among AVX-512's 32 registers.
pub(crate) const ROWS: usize = 12;
/// Floats of one vector.
pub(crate) const LANES: usize = 16;
/// Columns of a whole panel.
pub(crate) const PANEL: usize = 2 * LANES;

/// Columns that a tile has in registers on this machine: all of a panel or half of it.
pub(crate) fn width() -> usize {
    match level() {
        Level::Avx512 => PANEL,
        _ => LANES,
    }
}

/// Rows of the right side that are read again and again from the nearest caches: 32 KiB of the columns of a tile.
pub(crate) fn depth() -> usize {
    (32 << 10) / 4 / width()
}

/// One stretch of the reduction of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Products per output.
    pub(crate) len: usize,
    /// Floats from where a pointer of the left side points to its first factor.
    pub(crate) skip: usize,
    /// Floats from one factor of a row of the left side to the next.
    pub(crate) left_step: usize,
    /// The right side's first row, at the tile's first column.
    pub(crate) right: *const f32,
    /// Floats from one row of the right side to the next.
    pub(crate) step: usize,
}

/// What becomes of the sums.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    /// Factor on the sums.
    pub(crate) alpha: f32,
    /// Added to each row, from the product's first column on; null for none.
    pub(crate) bias: *const f32,
    /// Whether the output's old value is added.
    pub(crate) accumulate: bool,
}

/// Computes `out[r][column..][..columns] = finish(Σ_run Σ_k left[run][r][k] · right[run][k][..columns])` for `rows` rows
/// and at most [`width`] columns.
///
/// # Safety
/// `left` holds, for each run, [`ROWS`] pointers, from the first `rows` of which on, behind `skip` floats, lie `len` floats
/// in steps of `left_step`; `right` of a run points to `len` rows of at least `columns` floats rounded up to 16 (32 when
/// `columns` > 16); each of the first `rows` of `out` points to `column + columns` floats, of which nobody else writes
/// those from `column` on; `bias` is null or points to `column + columns` floats.
pub(crate) unsafe fn tile(
    rows: usize,
    column: usize,
    columns: usize,
    runs: &[Run],
    left: &[*const f32],
    out: &[*mut f32; ROWS],
    finish: Finish,
) {
    // SAFETY: the caller's promise is about this level as about any other.
    unsafe { tile_at(level(), rows, column, columns, runs, left, out, finish) }
}

/// # Safety
/// As [`tile`]; the machine has what `level` says, and `columns` are as many as that level takes.
#[allow(clippy::too_many_arguments)] // A tile has this many sizes, and no part of them is a thing.
#[inline(always)]
unsafe fn tile_at(
    level: Level,
    rows: usize,
    column: usize,
    columns: usize,
    runs: &[Run],
    left: &[*const f32],
    out: &[*mut f32; ROWS],
    finish: Finish,
) {
    debug_assert!(left.len() >= runs.len() * ROWS && (1..=ROWS).contains(&rows) && (1..=PANEL).contains(&columns));
    macro_rules! by_rows {
        ($rows:expr, [$($r:literal)*], $call:ident) => {
            match $rows {
                $($r => $call!($r),)*
                _ => unreachable!("a tile has 1 to {ROWS} rows"),
            }
        };
    }
    // SAFETY: the caller's promise is the promise of each of these.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if columns > LANES => {
                macro_rules! call {
                    ($r:literal) => {
                        avx512::<$r, 2, 32>(0, column, columns, runs, left, out, finish)
                    };
                }
                by_rows!(rows, [1 2 3 4 5 6 7 8 9 10 11 12], call)
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                macro_rules! call {
                    ($r:literal) => {
                        avx512::<$r, 1, 16>(0, column, columns, runs, left, out, finish)
                    };
                }
                by_rows!(rows, [1 2 3 4 5 6 7 8 9 10 11 12], call)
            }
            // 16 registers hold 12 rows × 1 vector of 8, the right side's and one of the left.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 if columns <= LANES / 2 => {
                macro_rules! call {
                    ($r:literal) => {
                        avx2::<$r, 1, 8>(0, column, columns, runs, left, out, finish)
                    };
                }
                by_rows!(rows, [1 2 3 4 5 6 7 8 9 10 11 12], call)
            }
            // Or 6 rows × 2 vectors of 8, the right side's two and one of the left.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                for first in (0..rows).step_by(6) {
                    macro_rules! call {
                        ($r:literal) => {
                            avx2::<$r, 2, 16>(first, column, columns, runs, left, out, finish)
                        };
                    }
                    by_rows!((rows - first).min(6), [1 2 3 4 5 6], call);
                }
            }
            _ => {
                for first in (0..rows).step_by(4) {
                    macro_rules! call {
                        ($r:literal) => {
                            plain::<$r>(first, column, columns, runs, left, out, finish)
                        };
                    }
                    by_rows!((rows - first).min(4), [1 2 3 4], call);
                }
            }
        }
    }
}

/// Writes the sums of `R` rows and up to `W` columns.
///
/// # Safety
/// `out[first..first + R]` point to `columns` floats from their `column` on that nobody else writes; `bias` is null or
/// points to as many.
unsafe fn write<const R: usize, const W: usize>(
    sums: &[[f32; W]; R],
    out: &[*mut f32; ROWS],
    first: usize,
    column: usize,
    columns: usize,
    finish: Finish,
) {
    let columns = columns.min(W);
    let mut bias = [0f32; W];
    if !finish.bias.is_null() {
        // SAFETY: the caller promises `columns` floats behind the pointer.
        let given = unsafe { std::slice::from_raw_parts(finish.bias.add(column), columns) };
        bias[..columns].copy_from_slice(given);
    }
    for (sums, out) in sums.iter().zip(&out[first..]) {
        // SAFETY: the caller promises `columns` floats that nobody else uses.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(column), columns) };
        for ((out, sum), bias) in out.iter_mut().zip(sums).zip(&bias) {
            let value = finish.alpha * sum + bias;
            *out = if finish.accumulate { *out + value } else { value };
        }
    }
}

/// One body for both instruction sets: `R` rows of `V` vectors of `$lanes` floats, from row `first` and column `column` on.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    (
        $name:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $splat:ident, $fma:ident, $add:ident,
        $store:ident
    ) => {
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize, const V: usize, const W: usize>(
            first: usize,
            column: usize,
            columns: usize,
            runs: &[Run],
            left: &[*const f32],
            out: &[*mut f32; ROWS],
            finish: Finish,
        ) {
            use std::arch::x86_64::*;
            const { assert!(V * $lanes == W) };
            let mut sums = [[$zero(); V]; R];
            for (run, left) in runs.iter().zip(left.chunks_exact(ROWS)) {
                let mut pointers = [std::ptr::null::<f32>(); R];
                for (pointer, left) in pointers.iter_mut().zip(&left[first..first + R]) {
                    *pointer = left.wrapping_add(run.skip);
                }
                let (mut right, mut at) = (run.right, 0);
                for _ in 0..run.len {
                    // SAFETY: the caller promises `len` rows of W floats on the right and `len` factors behind each pointer.
                    unsafe {
                        let mut b = [$zero(); V];
                        for v in 0..V {
                            b[v] = $load(right.add(v * $lanes));
                        }
                        for r in 0..R {
                            let a = $splat(*pointers[r].add(at));
                            for v in 0..V {
                                sums[r][v] = $fma(a, b[v], sums[r][v]);
                            }
                        }
                    }
                    at += run.left_step;
                    right = right.wrapping_add(run.step);
                }
            }
            if columns < W {
                let mut values = [[0f32; W]; R];
                for r in 0..R {
                    for v in 0..V {
                        // SAFETY: a row has V vectors of `$lanes` floats, as asserted above.
                        unsafe { $store(values[r].as_mut_ptr().add(v * $lanes), sums[r][v]) };
                    }
                }
                // SAFETY: the caller's promise about `out` and `bias`.
                return unsafe { write(&values, out, first, column, columns, finish) };
            }
            let (alpha, mut bias) = ($splat(finish.alpha), [$zero(); V]);
            for v in 0..V {
                // SAFETY: W floats lie behind the bias's pointer from `column` on, and behind those of the rows.
                unsafe {
                    if !finish.bias.is_null() {
                        bias[v] = $load(finish.bias.add(column + v * $lanes));
                    }
                    for r in 0..R {
                        let out = out[first + r].add(column + v * $lanes);
                        let value = $fma(alpha, sums[r][v], bias[v]);
                        $store(out, if finish.accumulate { $add(value, $load(out)) } else { value });
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(
    avx512,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_storeu_ps
);
#[cfg(target_arch = "x86_64")]
kernel!(
    avx2,
    "avx2,fma",
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_storeu_ps
);

/// The same in plain Rust, for 4 rows and 16 columns.
///
/// # Safety
/// As [`tile`], for rows `first..first + R`.
unsafe fn plain<const R: usize>(
    first: usize,
    column: usize,
    columns: usize,
    runs: &[Run],
    left: &[*const f32],
    out: &[*mut f32; ROWS],
    finish: Finish,
) {
    let mut sums = [[0f32; LANES]; R];
    for (run, left) in runs.iter().zip(left.chunks_exact(ROWS)) {
        let mut right = run.right;
        for k in 0..run.len {
            // SAFETY: as promised by the caller.
            let b: &[f32; LANES] = unsafe { &*right.cast() };
            for r in 0..R {
                // SAFETY: as promised by the caller.
                let a = unsafe { *left[first + r].add(run.skip + k * run.left_step) };
                for c in 0..LANES {
                    sums[r][c] += a * b[c];
                }
            }
            right = right.wrapping_add(run.step);
        }
    }
    // SAFETY: the caller's promise about `out` and `bias`.
    unsafe { write(&sums, out, first, column, columns, finish) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: Level) {
        let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 25.0;
        let widest = if level == Level::Avx512 { PANEL } else { LANES };
        for rows in 1..=ROWS {
            for columns in [1usize, 5, 8, 11, 16, 17, 31, 32].into_iter().filter(|c| *c <= widest) {
                for (len, accumulate, across) in [(1, false, false), (7, true, false), (20, false, true)] {
                    let (width, column) = (columns.next_multiple_of(LANES), 3);
                    // Two floats before the first factor; rows side by side, or one below the other.
                    let (skip, row, left_step) = if across { (2 * ROWS, 1, ROWS) } else { (2, len + 2, 1) };
                    let left: Vec<f32> = (0..(rows.max(ROWS)) * (len + 2)).map(value).collect();
                    let right: Vec<f32> = (0..len * width).map(|i| value(i + 13)).collect();
                    let bias: Vec<f32> = (0..column + columns).map(|i| value(i + 29)).collect();
                    let start: Vec<f32> = (0..rows * (column + columns)).map(|i| value(i + 3)).collect();
                    let mut out = start.clone();
                    let mut pointers = [std::ptr::null(); ROWS];
                    let mut targets = [std::ptr::null_mut(); ROWS];
                    for r in 0..rows {
                        pointers[r] = left[r * row..].as_ptr();
                        targets[r] = out[r * (column + columns)..].as_mut_ptr();
                    }
                    let runs = [Run { len, skip, left_step, right: right.as_ptr(), step: width }];
                    let finish = Finish { alpha: 0.5, bias: bias.as_ptr(), accumulate };
                    // SAFETY: the buffers above have the promised sizes, and the level is one that the machine has.
                    unsafe { tile_at(level, rows, column, columns, &runs, &pointers, &targets, finish) };
                    for r in 0..rows {
                        let at = r * (column + columns);
                        assert_eq!(out[at..at + column], start[at..at + column]);
                        for c in 0..columns {
                            let left = |k: usize| left[r * row + skip + k * left_step];
                            let sum: f32 = (0..len).map(|k| left(k) * right[k * width + c]).sum();
                            let old = if accumulate { start[at + column + c] } else { 0.0 };
                            let want = 0.5 * sum + bias[column + c] + old;
                            let got = out[at + column + c];
                            assert!((got - want).abs() < 1e-4, "{rows} {columns} {len} at {r},{c}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_tile_size_is_exact() {
        check(level());
    }

    #[test]
    fn so_are_the_paths_for_lesser_machines() {
        check(Level::Plain);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            check(Level::Avx2);
        }
    }
}

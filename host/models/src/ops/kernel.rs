//! The matrix kernel: up to 12 rows by 32 columns of a product are kept in registers while the whole reduction runs.
//!
//! Rows of the left side are given by pointers, one per row and stretch, so that a convolution reads its shifted inputs
//! where they lie (no im2col) and a padded pixel is a pointer to zeros.

use super::simd::{Level, level};

/// Most rows of one tile. 12 rows × 2 vectors leave room for the right side among AVX-512's 32 registers.
pub(crate) const ROWS: usize = 12;
/// Floats of one vector.
pub(crate) const LANES: usize = 16;
/// Columns of a whole panel.
pub(crate) const PANEL: usize = 2 * LANES;

/// One stretch of the reduction of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// Products per output.
    pub(crate) len: usize,
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
    /// Added to each row, from the tile's first column on; null for none.
    pub(crate) bias: *const f32,
    /// Whether the output's old value is added.
    pub(crate) accumulate: bool,
}

/// Computes `out[r][..columns] = finish(Σ_run Σ_k left[run][r][k] · right[run][k][..])` for `rows` rows.
///
/// # Safety
/// `left` holds, for each run, [`ROWS`] pointers of which the first `rows` point to `len` floats; `right` of a run points
/// to `len` rows of at least `columns` floats rounded up to 16 (32 when `columns` > 16); each of the first `rows` of
/// `out` points to `columns` floats that nobody else writes; `bias` is null or points to `columns` floats.
pub(crate) unsafe fn tile(
    rows: usize,
    columns: usize,
    runs: &[Run],
    left: &[*const f32],
    out: &[*mut f32; ROWS],
    finish: Finish,
) {
    // SAFETY: the caller's promise is about this level as about any other.
    unsafe { tile_at(level(), rows, columns, runs, left, out, finish) }
}

/// # Safety
/// As [`tile`]; the machine has what `level` says.
unsafe fn tile_at(
    level: Level,
    rows: usize,
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
                        avx512::<$r, 2, 32>(0, 0, columns, runs, left, out, finish)
                    };
                }
                by_rows!(rows, [1 2 3 4 5 6 7 8 9 10 11 12], call)
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                macro_rules! call {
                    ($r:literal) => {
                        avx512::<$r, 1, 16>(0, 0, columns, runs, left, out, finish)
                    };
                }
                by_rows!(rows, [1 2 3 4 5 6 7 8 9 10 11 12], call)
            }
            // 16 registers hold 6 rows × 2 vectors of 8, the right side's two and one of the left.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => {
                for offset in (0..columns).step_by(LANES) {
                    for first in (0..rows).step_by(6) {
                        macro_rules! call {
                            ($r:literal) => {
                                avx2::<$r, 2, 16>(first, offset, columns - offset, runs, left, out, finish)
                            };
                        }
                        by_rows!((rows - first).min(6), [1 2 3 4 5 6], call);
                    }
                }
            }
            _ => {
                for offset in (0..columns).step_by(LANES) {
                    for first in (0..rows).step_by(4) {
                        macro_rules! call {
                            ($r:literal) => {
                                plain::<$r>(first, offset, columns - offset, runs, left, out, finish)
                            };
                        }
                        by_rows!((rows - first).min(4), [1 2 3 4], call);
                    }
                }
            }
        }
    }
}

/// Writes the sums of `R` rows and up to `W` columns.
///
/// # Safety
/// `out[first..first + R]` point to `columns` floats from their `offset` on that nobody else writes; `bias` is null or
/// points to as many.
#[inline(always)]
unsafe fn write<const R: usize, const W: usize>(
    sums: &[[f32; W]; R],
    out: &[*mut f32; ROWS],
    first: usize,
    offset: usize,
    columns: usize,
    finish: Finish,
) {
    let columns = columns.min(W);
    let mut bias = [0f32; W];
    if !finish.bias.is_null() {
        // SAFETY: the caller promises `columns` floats behind the pointer.
        let given = unsafe { std::slice::from_raw_parts(finish.bias.add(offset), columns) };
        bias[..columns].copy_from_slice(given);
    }
    for (sums, out) in sums.iter().zip(&out[first..]) {
        let mut values = [0f32; W];
        for ((value, sum), bias) in values.iter_mut().zip(sums).zip(&bias) {
            *value = finish.alpha * sum + bias;
        }
        // SAFETY: the caller promises `columns` floats that nobody else uses.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(offset), columns) };
        if finish.accumulate {
            for (value, out) in values.iter_mut().zip(&*out) {
                *value += out;
            }
        }
        match <&mut [f32; W]>::try_from(&mut *out) {
            // The length is known here, so that this is a few vector stores.
            Ok(whole) => *whole = values,
            Err(_) => out.copy_from_slice(&values[..columns]),
        }
    }
}

/// One body for both instruction sets: `R` rows of `V` vectors of `$lanes` floats, from row `first` and column `offset` on.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($name:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $splat:ident, $fma:ident, $store:ident) => {
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize, const V: usize, const W: usize>(
            first: usize,
            offset: usize,
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
                pointers.copy_from_slice(&left[first..first + R]);
                let mut right = run.right.wrapping_add(offset);
                for k in 0..run.len {
                    // SAFETY: the caller promises `len` rows of W floats on the right and `len` floats behind each pointer.
                    unsafe {
                        let mut b = [$zero(); V];
                        for v in 0..V {
                            b[v] = $load(right.add(v * $lanes));
                        }
                        for r in 0..R {
                            let a = $splat(*pointers[r].add(k));
                            for v in 0..V {
                                sums[r][v] = $fma(a, b[v], sums[r][v]);
                            }
                        }
                    }
                    right = right.wrapping_add(run.step);
                }
            }
            let mut values = [[0f32; W]; R];
            for r in 0..R {
                for v in 0..V {
                    // SAFETY: a row has V vectors of `$lanes` floats, as asserted above.
                    unsafe { $store(values[r].as_mut_ptr().add(v * $lanes), sums[r][v]) };
                }
            }
            // SAFETY: the caller's promise about `out` and `bias`.
            unsafe { write(&values, out, first, offset, columns, finish) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(avx512, "avx512f", 16, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps);
#[cfg(target_arch = "x86_64")]
kernel!(avx2, "avx2,fma", 8, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps);

/// The same in plain Rust, for 4 rows and 16 columns.
///
/// # Safety
/// As [`tile`], for rows `first..first + R` and the columns from `offset` on.
unsafe fn plain<const R: usize>(
    first: usize,
    offset: usize,
    columns: usize,
    runs: &[Run],
    left: &[*const f32],
    out: &[*mut f32; ROWS],
    finish: Finish,
) {
    let mut sums = [[0f32; LANES]; R];
    for (run, left) in runs.iter().zip(left.chunks_exact(ROWS)) {
        let mut right = run.right.wrapping_add(offset);
        for k in 0..run.len {
            // SAFETY: as promised by the caller.
            let b: &[f32; LANES] = unsafe { &*right.cast() };
            for r in 0..R {
                // SAFETY: as promised by the caller.
                let a = unsafe { *left[first + r].add(k) };
                for c in 0..LANES {
                    sums[r][c] += a * b[c];
                }
            }
            right = right.wrapping_add(run.step);
        }
    }
    // SAFETY: the caller's promise about `out` and `bias`.
    unsafe { write(&sums, out, first, offset, columns, finish) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(level: Level) {
        let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 25.0;
        for rows in 1..=ROWS {
            for columns in [1usize, 5, 16, 17, 31, 32] {
                for (len, accumulate) in [(1, false), (7, true), (20, false)] {
                    let width = columns.next_multiple_of(LANES);
                    let left: Vec<f32> = (0..rows * len).map(value).collect();
                    let right: Vec<f32> = (0..len * width).map(|i| value(i + 13)).collect();
                    let bias: Vec<f32> = (0..columns).map(|i| value(i + 29)).collect();
                    let start: Vec<f32> = (0..rows * columns).map(|i| value(i + 3)).collect();
                    let mut out = start.clone();
                    let mut pointers = [std::ptr::null(); ROWS];
                    let mut targets = [std::ptr::null_mut(); ROWS];
                    for r in 0..rows {
                        pointers[r] = left[r * len..].as_ptr();
                        targets[r] = out[r * columns..].as_mut_ptr();
                    }
                    let runs = [Run { len, right: right.as_ptr(), step: width }];
                    let finish = Finish { alpha: 0.5, bias: bias.as_ptr(), accumulate };
                    // SAFETY: the buffers above have the promised sizes, and the level is one that the machine has.
                    unsafe { tile_at(level, rows, columns, &runs, &pointers, &targets, finish) };
                    for r in 0..rows {
                        for c in 0..columns {
                            let sum: f32 = (0..len).map(|k| left[r * len + k] * right[k * width + c]).sum();
                            let old = if accumulate { start[r * columns + c] } else { 0.0 };
                            let want = 0.5 * sum + bias[c] + old;
                            assert!((out[r * columns + c] - want).abs() < 1e-4, "{rows} {columns} {len} at {r},{c}");
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

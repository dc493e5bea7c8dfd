//! 3×3 convolutions of stride 1 with 16 products for each 2×2 outputs instead of 36: F(2×2, 3×3) of Lavin and Gray 2016
//! (arXiv:1509.09308, §4.1). Inputs are turned into 16 planes a block of tiles at a time and weights a panel of columns
//! at a time, so that both are still in the cache when the products come to them; no copy of a weight is kept.

use super::gemm::{Line, Output, Right, floats_mut};
use super::kernel::{self, Finish, LANES, PANEL, ROWS, Run};
use super::simd::simd;
use rayon::prelude::*;

/// Places of a transformed tile, each a plane of its own.
const PLANES: usize = 16;
/// Floats that one step of a transform takes.
const STEP: usize = 8;
/// Input channels whose weights are transformed at a time.
const CHANNELS: usize = 128;
/// Most tiles of a block.
const TILES: usize = 64;
/// Below this many outputs the transforms of the weights cost more than the products.
const FEWEST: usize = 8;

/// A convolution (b, h, w, inp) → (b, oh, ow, out) with a 3×3 kernel and stride 1.
#[derive(Clone, Copy)]
pub(super) struct Winograd {
    pub(super) b: usize,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) inp: usize,
    pub(super) oh: usize,
    pub(super) ow: usize,
    pub(super) out: usize,
    /// Zeros added at the top and left.
    pub(super) before: usize,
    /// Whether the kernel is turned by half a turn.
    pub(super) turned: bool,
}

/// What a thread computes with, so that its memory is asked for once.
#[derive(Default)]
struct Scratch {
    inputs: Vec<Line>,
    weights: Vec<Line>,
    products: Vec<Line>,
    panel: Vec<Line>,
}

thread_local! {
    static SCRATCH: std::cell::Cell<Scratch> = std::cell::Cell::default();
}

/// At least `count` floats of a buffer.
fn room(lines: &mut Vec<Line>, count: usize) -> &mut [f32] {
    if lines.len() * LANES < count {
        lines.resize(count.div_ceil(LANES), Line::ZERO);
    }
    &mut floats_mut(lines)[..count]
}

impl Winograd {
    /// Whether this way is faster than the direct one.
    pub(super) fn pays(&self) -> bool {
        self.inp >= LANES && self.out >= LANES && self.tiles() >= FEWEST
    }

    /// The convolution that makes the input's gradient of the output's.
    pub(super) fn backward(self) -> Winograd {
        let Winograd { b, h, w, inp, oh, ow, out, before, turned } = self;
        Winograd { b, h: oh, w: ow, inp: out, oh: h, ow: w, out: inp, before: 2 - before, turned: !turned }
    }

    /// Tiles of 2×2 outputs.
    fn tiles(&self) -> usize {
        self.b * self.oh.div_ceil(2) * self.ow.div_ceil(2)
    }

    /// Computes all outputs from `x` and a weight whose row tap·inp + i, column o is that of input i and output o.
    pub(super) fn run(&self, x: &[f32], weight: Right<'_>, bias: Option<&[f32]>, out: &mut [f32]) {
        assert!(x.len() >= self.b * self.h * self.w * self.inp, "an image smaller than said");
        let (tiles, panels) = (self.tiles(), self.out.div_ceil(PANEL));
        let threads = rayon::current_num_threads();
        let mut blocks = tiles.div_ceil(TILES);
        let mut ranges = 1;
        if threads > 1 {
            // As many tasks as two, four or eight threads finish together.
            blocks = if blocks >= 8 { blocks.next_multiple_of(8) } else { blocks };
            ranges = 8usize.div_ceil(blocks).min(panels);
        }
        let (tiles_each, panels_each) = (tiles.div_ceil(blocks), panels.div_ceil(ranges));
        let place = Output::new(out);
        (0..blocks * ranges).into_par_iter().for_each(|task| {
            let (block, range) = (task / ranges, task % ranges);
            let tiles = (block * tiles_each).min(tiles)..((block + 1) * tiles_each).min(tiles);
            let panels = (range * panels_each).min(panels)..((range + 1) * panels_each).min(panels);
            if !tiles.is_empty() && !panels.is_empty() {
                let mut scratch = SCRATCH.take();
                self.block(x, weight, bias, place, tiles, panels, &mut scratch);
                SCRATCH.set(scratch);
            }
        });
    }

    /// Computes the outputs of some tiles and panels of columns.
    #[allow(clippy::too_many_arguments)] // A block of a product has this many sides, and no part of them is a thing.
    fn block(
        &self,
        x: &[f32],
        weight: Right<'_>,
        bias: Option<&[f32]>,
        place: Output,
        tiles: std::ops::Range<usize>,
        panels: std::ops::Range<usize>,
        scratch: &mut Scratch,
    ) {
        let (count, groups) = (tiles.len(), tiles.len().div_ceil(ROWS));
        // A line more than there are values, so that the planes do not fall on the same places of a cache.
        let plane = (count * self.inp).next_multiple_of(LANES) + LANES;
        let inputs = room(&mut scratch.inputs, PLANES * plane);
        self.inputs(x, tiles.clone(), inputs, plane);
        let mut left = vec![[std::ptr::null::<f32>(); ROWS]; PLANES * groups];
        for (p, plane) in inputs.chunks_exact(plane).enumerate() {
            for t in 0..count {
                left[p * groups + t / ROWS][t % ROWS] = plane[t * self.inp..][..self.inp].as_ptr();
            }
        }
        let chunks = self.inp.div_ceil(CHANNELS);
        let chunk = self.inp.div_ceil(chunks);
        let weight_plane = chunk * PANEL + LANES;
        let weights = room(&mut scratch.weights, PLANES * weight_plane);
        let product_plane = count * PANEL + LANES;
        let products = room(&mut scratch.products, PLANES * product_plane);
        let mut targets = vec![[std::ptr::null_mut::<f32>(); ROWS]; PLANES * groups];
        for panel in panels {
            let first = panel * PANEL;
            let columns = (self.out - first).min(PANEL);
            let lanes = columns.next_multiple_of(LANES);
            for (p, plane) in products.chunks_exact_mut(product_plane).enumerate() {
                for (t, row) in plane.chunks_exact_mut(lanes).take(count).enumerate() {
                    targets[p * groups + t / ROWS][t % ROWS] = row.as_mut_ptr();
                }
            }
            let values: &[f32] = match weight {
                Right::Packed(packed, from) => &packed.panel(panel)[from * lanes..],
                Right::Made(source, from) => {
                    let made = room(&mut scratch.panel, source.rows() * lanes);
                    source.fill(panel, lanes, made);
                    &made[from * lanes..]
                }
                Right::Plain(..) => unreachable!("a weight is packed or made"),
            };
            let tap = self.inp * lanes;
            let taps: [&[f32]; 9] =
                std::array::from_fn(|t| &values[if self.turned { 8 - t } else { t } * tap..][..tap]);
            for begin in (0..self.inp).step_by(chunk) {
                let depth = chunk.min(self.inp - begin);
                let part = taps.map(|tap| &tap[begin * lanes..(begin + depth) * lanes]);
                turn_weights(&part, weights, weight_plane);
                let finish = Finish { alpha: 1.0, bias: std::ptr::null(), accumulate: begin > 0 };
                for (p, weights) in weights.chunks_exact(weight_plane).enumerate() {
                    for offset in (0..lanes).step_by(kernel::width()) {
                        let right = weights[offset..depth * lanes].as_ptr();
                        let run = Run { len: depth, skip: begin, left_step: 1, right, step: lanes };
                        for group in 0..groups {
                            let rows = (count - group * ROWS).min(ROWS);
                            let (left, out) = (&left[p * groups + group], &targets[p * groups + group]);
                            let columns = (lanes - offset).min(kernel::width());
                            // SAFETY: the pointers of `left` have `inp` floats behind them, those of `out` `lanes`, and
                            // `right` has `depth` rows of `lanes`; nobody else has this thread's scratch.
                            unsafe { kernel::tile(rows, offset, columns, &[run], left, out, finish) };
                        }
                    }
                }
            }
            let mut added = [0f32; PANEL];
            if let Some(bias) = bias {
                added[..columns].copy_from_slice(&bias[first..first + columns]);
            }
            for (i, tile) in tiles.clone().enumerate() {
                let mut pixels = [[0f32; PANEL]; 4];
                turn_products(products, product_plane, i * lanes, lanes, &added, &mut pixels);
                let (b, y, x) = self.tile(tile);
                for (d, pixel) in pixels.iter().enumerate() {
                    let (y, x) = (y + d / 2, x + d % 2);
                    if y < self.oh && x < self.ow {
                        let at = ((b * self.oh + y) * self.ow + x) * self.out + first;
                        // SAFETY: tasks differ in their tiles, and so in their pixels, or in their columns.
                        unsafe { place.part(at, columns) }.copy_from_slice(&pixel[..columns]);
                    }
                }
            }
        }
    }

    /// Image, row and column of a tile's first output.
    fn tile(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = (self.oh.div_ceil(2), self.ow.div_ceil(2));
        (tile / (rows * columns), tile / columns % rows * 2, tile % columns * 2)
    }

    /// Writes the transformed inputs of some tiles: 16 planes of (tile, channel).
    fn inputs(&self, x: &[f32], tiles: std::ops::Range<usize>, out: &mut [f32], plane: usize) {
        let zeros = vec![0f32; self.inp];
        for (i, tile) in tiles.enumerate() {
            let (b, y0, x0) = self.tile(tile);
            let pixels: [&[f32]; PLANES] = std::array::from_fn(|d| {
                // Wrapping below zero gives numbers beyond any height, so that one comparison checks both ends.
                let (py, px) = ((y0 + d / 4).wrapping_sub(self.before), (x0 + d % 4).wrapping_sub(self.before));
                if py < self.h && px < self.w {
                    &x[((b * self.h + py) * self.w + px) * self.inp..][..self.inp]
                } else {
                    &zeros[..]
                }
            });
            turn_inputs(&pixels, out, plane, i * self.inp);
        }
    }
}

simd! {
    /// Bᵀ d B of 4×4 pixels (each of all channels), each value to its plane, from `at` on.
    fn turn_inputs(pixels: &[&[f32]; PLANES], out: &mut [f32], plane: usize, at: usize) {
        let channels = pixels[0].len();
        let whole = channels / STEP * STEP;
        for c in (0..whole).step_by(STEP) {
            inputs_step::<STEP>(pixels, c, out, plane, at + c);
        }
        for c in whole..channels {
            inputs_step::<1>(pixels, c, out, plane, at + c);
        }
    }
}

#[inline(always)]
fn inputs_step<const L: usize>(pixels: &[&[f32]; PLANES], c: usize, out: &mut [f32], plane: usize, at: usize) {
    let mut rows = [[[0f32; L]; 4]; 4];
    for j in 0..4 {
        let d: [[f32; L]; 4] = std::array::from_fn(|i| {
            let mut d = [0f32; L];
            d.copy_from_slice(&pixels[4 * i + j][c..c + L]);
            d
        });
        for l in 0..L {
            rows[0][j][l] = d[0][l] - d[2][l];
            rows[1][j][l] = d[1][l] + d[2][l];
            rows[2][j][l] = d[2][l] - d[1][l];
            rows[3][j][l] = d[1][l] - d[3][l];
        }
    }
    for (i, d) in rows.iter().enumerate() {
        let mut v = [[0f32; L]; 4];
        for l in 0..L {
            v[0][l] = d[0][l] - d[2][l];
            v[1][l] = d[1][l] + d[2][l];
            v[2][l] = d[2][l] - d[1][l];
            v[3][l] = d[1][l] - d[3][l];
        }
        for (j, v) in v.iter().enumerate() {
            out[(4 * i + j) * plane + at..][..L].copy_from_slice(v);
        }
    }
}

simd! {
    /// G g Gᵀ of nine taps (each of some channels and columns, a multiple of 16 values), each value to its plane.
    fn turn_weights(taps: &[&[f32]; 9], out: &mut [f32], plane: usize) {
        for at in (0..taps[0].len()).step_by(STEP) {
            let mut rows = [[[0f32; STEP]; 3]; 4];
            for j in 0..3 {
                let g: [[f32; STEP]; 3] = std::array::from_fn(|i| {
                    let mut g = [0f32; STEP];
                    g.copy_from_slice(&taps[3 * i + j][at..at + STEP]);
                    g
                });
                for l in 0..STEP {
                    let sum = g[0][l] + g[2][l];
                    rows[0][j][l] = g[0][l];
                    rows[1][j][l] = 0.5 * (sum + g[1][l]);
                    rows[2][j][l] = 0.5 * (sum - g[1][l]);
                    rows[3][j][l] = g[2][l];
                }
            }
            for (i, g) in rows.iter().enumerate() {
                let mut u = [[0f32; STEP]; 4];
                for l in 0..STEP {
                    let sum = g[0][l] + g[2][l];
                    u[0][l] = g[0][l];
                    u[1][l] = 0.5 * (sum + g[1][l]);
                    u[2][l] = 0.5 * (sum - g[1][l]);
                    u[3][l] = g[2][l];
                }
                for (j, u) in u.iter().enumerate() {
                    out[(4 * i + j) * plane + at..][..STEP].copy_from_slice(u);
                }
            }
        }
    }
}

simd! {
    /// Aᵀ m A + bias of one tile, `lanes` values of each plane from `at` on: 2×2 pixels.
    fn turn_products(m: &[f32], plane: usize, at: usize, lanes: usize, bias: &[f32; PANEL], out: &mut [[f32; PANEL]; 4]) {
        for c in (0..lanes).step_by(STEP) {
            let mut rows = [[[0f32; STEP]; 4]; 2];
            for j in 0..4 {
                let m: [[f32; STEP]; 4] = std::array::from_fn(|i| {
                    let mut v = [0f32; STEP];
                    v.copy_from_slice(&m[(4 * i + j) * plane + at + c..][..STEP]);
                    v
                });
                for l in 0..STEP {
                    rows[0][j][l] = m[0][l] + m[1][l] + m[2][l];
                    rows[1][j][l] = m[1][l] - m[2][l] - m[3][l];
                }
            }
            for (i, m) in rows.iter().enumerate() {
                for l in 0..STEP {
                    out[2 * i][c + l] = m[0][l] + m[1][l] + m[2][l] + bias[c + l];
                    out[2 * i + 1][c + l] = m[1][l] - m[2][l] - m[3][l] + bias[c + l];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::testing::{close, random};
    use crate::ops::{Frozen, Window, conv2d_frozen};
    use candle_core::{Result, Tensor, Var};
    use std::sync::Arc;

    /// Output and input's gradient, with weights on the outputs that are not even.
    fn both(x: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<[Tensor; 2]> {
        let x = Var::from_tensor(x)?;
        let y = f(x.as_tensor())?;
        let grads = (&y * random(y.shape(), 99)?)?.sum_all()?.backward()?;
        Ok([y, grads.get(&x).expect("a gradient of the input").clone()])
    }

    #[test]
    fn whole_and_cut_tiles_panels_and_paddings_match_candles_convolution() -> Result<()> {
        for (h, w, inp, out, before) in [
            (8, 8, 16, 16, 1),
            (7, 9, 19, 40, 1),
            (20, 30, 40, 70, 1),
            (9, 12, 150, 33, 1),
            (12, 11, 20, 17, 0),
            (10, 9, 17, 18, 2),
        ] {
            let (x, weight) = (random((2, h, w, inp), 1)?, random((out, inp, 3, 3), 2)?);
            let bias = random(out, 3)?;
            let layer = Arc::new(Frozen::new(&weight, Some(&bias))?);
            let ours = both(&x, |x| conv2d_frozen(x, &layer, Window::new(1, before)))?;
            let candles = both(&x, |x| {
                let y = x.permute((0, 3, 1, 2))?.contiguous()?.conv2d(&weight, before, 1, 1, 1)?;
                y.permute((0, 2, 3, 1))?.contiguous()?.broadcast_add(&bias)
            })?;
            for (ours, candles) in ours.iter().zip(&candles) {
                close(ours, candles, 2e-4)?;
            }
        }
        Ok(())
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
        let (x, weight) = (random((1, 33, 40, 24), 1)?, random((50, 24, 3, 3), 2)?);
        let layer = Arc::new(Frozen::new(&weight, None)?);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| both(&x, |x| conv2d_frozen(x, &layer, Window::new(1, 1))))
        };
        let (one, three) = (run(1)?, run(3)?);
        for (one, three) in one.iter().zip(&three) {
            assert_eq!(one.flatten_all()?.to_vec1::<f32>()?, three.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }
}

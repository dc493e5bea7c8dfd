//! Large pictures and latents in overlapping tiles (ComfyUI, `comfy.utils.tiled_scale`): less memory for seams that
//! are hardly seen.

use crate::error::Result;
use candle_core::{Device, Tensor};

/// How a picture is cut into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Height and width of a tile, in pixels of what goes in.
    pub tile: (usize, usize),
    /// Pixels that neighbours share.
    pub overlap: usize,
    /// Size of what comes out, relative to what goes in: (8, 1) is eight times as large, (1, 8) an eighth.
    pub scale: (usize, usize),
}

impl Tiling {
    /// Takes x (b, c, h, w) tile by tile through `f`, (1, c, h, w) → (1, d, h·scale, w·scale), and blends the results.
    pub fn run(&self, x: &Tensor, f: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let (b, _, h, w) = x.dims4()?;
        let mut pictures = Vec::with_capacity(b);
        for i in 0..b {
            let picture = x.narrow(0, i, 1)?;
            // What fits one tile is not cut.
            pictures.push(if h <= self.tile.0 && w <= self.tile.1 { f(&picture)? } else { self.picture(&picture, f)? });
        }
        Ok(Tensor::cat(&pictures, 0)?)
    }

    /// How many tiles a picture of this size takes.
    pub fn count(&self, h: usize, w: usize) -> usize {
        self.starts(h, self.tile.0).len() * self.starts(w, self.tile.1).len()
    }

    fn picture(&self, x: &Tensor, f: &mut dyn FnMut(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
        let (_, _, h, w) = x.dims4()?;
        let (height, width) = (self.scaled(h), self.scaled(w));
        let mut sum: Vec<f32> = Vec::new();
        let mut weight = vec![0f32; height * width];
        for &top in &self.starts(h, self.tile.0) {
            for &left in &self.starts(w, self.tile.1) {
                let (th, tw) = (self.tile.0.min(h - top), self.tile.1.min(w - left));
                let tile = f(&x.narrow(2, top, th)?.narrow(3, left, tw)?.contiguous()?)?;
                let (_, d, th, tw) = tile.dims4()?;
                sum.resize(d * height * width, 0.0);
                let values = tile.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                let (top, left) = (self.scaled(top), self.scaled(left));
                let (rows, cols) = (self.fade(th), self.fade(tw));
                // A tile whose size the scale does not divide may reach over the edge.
                for y in 0..th.min(height - top) {
                    for x in 0..tw.min(width - left) {
                        let share = rows[y] * cols[x];
                        let at = (top + y) * width + left + x;
                        weight[at] += share;
                        for k in 0..d {
                            sum[k * height * width + at] += values[(k * th + y) * tw + x] * share;
                        }
                    }
                }
            }
        }
        let d = sum.len() / (height * width);
        for (i, value) in sum.iter_mut().enumerate() {
            *value /= weight[i % (height * width)];
        }
        Ok(Tensor::from_vec(sum, (1, d, height, width), &Device::Cpu)?.to_device(x.device())?)
    }

    /// Where tiles begin along a side.
    fn starts(&self, side: usize, tile: usize) -> Vec<usize> {
        if side <= tile {
            return vec![0];
        }
        let step = tile.saturating_sub(self.overlap).max(1);
        let last = side - self.overlap.min(side);
        (0..last).step_by(step).map(|at| at.min(last)).collect()
    }

    fn scaled(&self, n: usize) -> usize {
        (n * self.scale.0 + self.scale.1 / 2) / self.scale.1
    }

    /// Weights along a side of a tile: from the edges they grow over the overlap.
    fn fade(&self, side: usize) -> Vec<f32> {
        let feather = self.scaled(self.overlap);
        let mut weights = vec![1f32; side];
        if feather < side {
            for t in 0..feather {
                let share = (t + 1) as f32 / feather as f32;
                weights[t] *= share;
                weights[side - 1 - t] *= share;
            }
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(h: usize, w: usize) -> Tensor {
        Tensor::arange(0f32, (2 * h * w) as f32, &Device::Cpu).unwrap().reshape((1, 2, h, w)).unwrap()
    }

    /// A pixelwise function does not see the tiles, whatever their size.
    #[test]
    fn tiles_of_a_pixelwise_function_are_the_whole() {
        let x = ramp(9, 13);
        for (tile, overlap) in [((4, 4), 1), ((4, 6), 3), ((20, 5), 2), ((3, 3), 0), ((9, 13), 4)] {
            let tiling = Tiling { tile, overlap, scale: (1, 1) };
            let mut calls = 0;
            let mut double = |t: &Tensor| {
                calls += 1;
                Ok((t * 2.0)?)
            };
            let found = tiling.run(&x, &mut double).unwrap();
            let off = (found - (&x * 2.0).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-3, "{tile:?}");
            assert_eq!(calls, tiling.count(9, 13));
        }
    }

    #[test]
    fn sizes_are_scaled_both_ways() {
        let x = ramp(16, 24);
        let up = Tiling { tile: (8, 8), overlap: 2, scale: (2, 1) };
        let mut twice = |t: &Tensor| {
            let (_, _, h, w) = t.dims4()?;
            Ok(t.upsample_nearest2d(2 * h, 2 * w)?)
        };
        let large = up.run(&x, &mut twice).unwrap();
        assert_eq!(large.dims(), [1, 2, 32, 48]);
        let down = Tiling { tile: (16, 16), overlap: 4, scale: (1, 2) };
        let mut half = |t: &Tensor| Ok(t.avg_pool2d(2)?);
        let back = down.run(&large, &mut half).unwrap();
        let off = (back - &x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 1e-3, "off by {off}");
    }
}

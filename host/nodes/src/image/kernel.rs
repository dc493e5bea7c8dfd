//! Pictures whose pixels are mixed with those around them.

use anyhow::{Result, bail};
use candle_core::Tensor;

/// Weights of a square of pixels around each, (2·radius + 1)².
pub(super) struct Kernel {
    pub(super) radius: usize,
    pub(super) weights: Vec<f32>,
}

impl Kernel {
    /// A picture (1, c, h, w) that is mirrored beyond its edges.
    pub(super) fn over(&self, picture: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = picture.dims4()?;
        let (r, size) = (self.radius, 2 * self.radius + 1);
        if r >= h || r >= w {
            bail!("a radius of {r} is too large for a picture of {w}×{h}: it must be less than both sides");
        }
        let values = picture.flatten_all()?.to_vec1::<f32>()?;
        let mirror = |at: usize, side: usize| {
            // Counted from `radius` pixels before the edge.
            let at = at as isize - r as isize;
            let last = side as isize - 1;
            (if at < 0 {
                -at
            } else if at > last {
                2 * last - at
            } else {
                at
            }) as usize
        };
        let columns: Vec<usize> = (0..w + 2 * r).map(|x| mirror(x, w)).collect();
        let mut out = vec![0f32; values.len()];
        for (plane, out) in values.chunks_exact(h * w).zip(out.chunks_exact_mut(h * w)) {
            for (y, line) in out.chunks_exact_mut(w).enumerate() {
                for (ky, weights) in self.weights.chunks_exact(size).enumerate() {
                    let from = &plane[mirror(y + ky, h) * w..][..w];
                    for (kx, weight) in weights.iter().enumerate() {
                        for (value, &x) in line.iter_mut().zip(&columns[kx..]) {
                            *value += weight * from[x];
                        }
                    }
                }
            }
        }
        Ok(Tensor::from_vec(out, (b, c, h, w), picture.device())?)
    }
}

/// A bell over a square whose half side is 1 (ComfyUI, `gaussian_kernel`).
pub(super) fn gaussian(radius: usize, sigma: f64) -> Vec<f32> {
    let at = |i: usize| i as f64 / radius as f64 - 1.0;
    let size = 2 * radius + 1;
    let places = (0..size * size).map(|i| at(i / size).powi(2) + at(i % size).powi(2));
    let bell: Vec<f64> = places.map(|d| (-d / (2.0 * sigma * sigma)).exp()).collect();
    let sum: f64 = bell.iter().sum();
    bell.into_iter().map(|value| (value / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn constants_stay_and_edges_are_mirrored() {
        let kernel = Kernel { radius: 2, weights: gaussian(2, 0.7) };
        let grey = Tensor::full(0.5f32, (1, 2, 5, 4), &Device::Cpu).unwrap();
        let blurred = kernel.over(&grey).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(blurred.iter().all(|v| (v - 0.5).abs() < 1e-6));
        // One pixel to the left: the first column shows what would be the one before it, the second.
        let mut weights = vec![0f32; 9];
        weights[3] = 1.0;
        let shift = Kernel { radius: 1, weights };
        let line = Tensor::new(&[[[[1f32, 2.0, 3.0], [4.0, 5.0, 6.0]]]], &Device::Cpu).unwrap();
        let shifted = shift.over(&line).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(shifted, [2.0, 1.0, 2.0, 5.0, 4.0, 5.0]);
        let error = Kernel { radius: 3, weights: gaussian(3, 1.0) }.over(&line).unwrap_err().to_string();
        assert!(error.contains("3×2"), "{error}");
    }

    /// torch: the kernel of radius 1 and sigma 1 is exp(−d²/2) over its sum.
    #[test]
    fn the_bell_reaches_over_the_square() {
        let found = gaussian(1, 1.0);
        for (found, wanted) in found.iter().zip([0.075_113_6f32, 0.123_841_4, 0.075_113_6, 0.123_841_4, 0.204_179_9]) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }
}

//! Features of a grey picture: statistics of its locally normalised values and of their products with neighbours.

use crate::FEATURES;
use crate::fit::fit;

/// The window's radius and standard deviation, in pixels.
const RADIUS: usize = 3;
const SIGMA: f64 = 7.0 / 6.0;
const SIDE: usize = 2 * RADIUS + 1;
/// Bicubic weights halfway between two pixels, with a = −3/4 (`INTER_CUBIC`, by which the release halves pictures).
const CUBIC: [f64; 4] = [-0.09375, 0.59375, 0.59375, -0.09375];

/// The features of a picture of grey bytes, row by row: at its own size, then at half of it, each time shape and variance of
/// the normalised values, then shape, mean, left and right variance of products with the neighbour to the right, below, and
/// below on both diagonals. None if the picture is smaller than 4×4, or so flat that there is nothing to fit.
///
/// Where the paper says nothing, this follows the authors' release that trained the model: greys of 0…255 rounded after
/// ITU-R BT.601, edges repeated beyond the border, an asymmetric fit of the values themselves too.
pub fn features(grey: &[u8], width: usize, height: usize) -> Option<[f64; FEATURES]> {
    if width < 4 || height < 4 || grey.len() != width * height {
        return None;
    }
    let mut plane = Plane { width, height, values: grey.iter().map(|v| f64::from(*v)).collect() };
    let mut out = [0.0; FEATURES];
    for part in out.chunks_exact_mut(FEATURES / 2) {
        part.copy_from_slice(&plane.normalised().statistics()?);
        plane = plane.half();
    }
    Some(out)
}

struct Plane {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

impl Plane {
    /// Mean subtracted, contrast normalised: (I − µ) / (σ + 1), by a Gaussian window.
    ///
    /// Sums are of differences to the pixel in the middle, so that flat areas give exactly 0 and not noise of rounding.
    fn normalised(&self) -> Self {
        let weights = window();
        let (w, wide) = (self.width, self.width + 2 * RADIUS);
        let padded = self.padded();
        let mut values = Vec::with_capacity(self.values.len());
        let (mut mean, mut squares) = (vec![0.0f64; w], vec![0.0f64; w]);
        for (y, middle) in self.values.chunks_exact(w).enumerate() {
            mean.fill(0.0);
            squares.fill(0.0);
            for (row, weights) in weights.chunks_exact(SIDE).enumerate() {
                for (column, weight) in weights.iter().enumerate() {
                    let from = (y + row) * wide + column;
                    let others = &padded[from..from + w];
                    for (((m, s), v), o) in mean.iter_mut().zip(&mut squares).zip(middle).zip(others) {
                        let difference = o - v;
                        *m += weight * difference;
                        *s += weight * difference * difference;
                    }
                }
            }
            values.extend(mean.iter().zip(&squares).map(|(m, s)| -m / ((s - m * m).max(0.0).sqrt() + 1.0)));
        }
        Self { values, ..*self }
    }

    /// The values with those at the border repeated beyond it.
    fn padded(&self) -> Vec<f64> {
        let at = |i: usize, n: usize| i.saturating_sub(RADIUS).min(n - 1);
        let row = |y: usize| (0..self.width + 2 * RADIUS).map(move |x| (at(y, self.height), at(x, self.width)));
        (0..self.height + 2 * RADIUS).flat_map(row).map(|(y, x)| self.values[y * self.width + x]).collect()
    }

    /// The 18 features of normalised values.
    fn statistics(&self) -> Option<[f64; FEATURES / 2]> {
        let own = fit(self.values.iter().copied())?;
        let mut out = vec![own.shape, (own.left + own.right) / 2.0];
        for (right, down) in [(1isize, 0), (0, 1), (1, 1), (-1, 1)] {
            let found = fit(self.products(right, down))?;
            out.extend([found.shape, found.mean, found.left, found.right]);
        }
        out.try_into().ok()
    }

    /// Each value times its neighbour at this place, where there is one.
    fn products(&self, right: isize, down: usize) -> impl Iterator<Item = f64> + '_ {
        let (w, skip) = (self.width, right.unsigned_abs());
        let (own, other) = if right < 0 { (skip, 0) } else { (0, skip) };
        (0..self.height - down).flat_map(move |y| {
            let first = &self.values[y * w + own..][..w - skip];
            let second = &self.values[(y + down) * w + other..][..w - skip];
            first.iter().zip(second).map(|(a, b)| a * b)
        })
    }

    /// At half the size, rounded down.
    fn half(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let taps =
            |i: usize, n: usize| std::array::from_fn::<usize, 4, _>(|t| (2 * i + t).saturating_sub(1).min(n - 1));
        let narrow: Vec<f64> = self
            .values
            .chunks_exact(self.width)
            .flat_map(|row| {
                (0..width).map(move |x| taps(x, self.width).iter().zip(CUBIC).map(|(at, c)| c * row[*at]).sum::<f64>())
            })
            .collect();
        let values = (0..height)
            .flat_map(|y| {
                let rows = taps(y, self.height);
                let narrow = &narrow;
                (0..width).map(move |x| rows.iter().zip(CUBIC).map(|(row, c)| c * narrow[row * width + x]).sum::<f64>())
            })
            .collect();
        Self { width, height, values }
    }
}

/// Weights of the window, row by row; they add up to 1.
fn window() -> Vec<f64> {
    let line: Vec<f64> = (0..SIDE)
        .map(|i| {
            let x = i as f64 - RADIUS as f64;
            libm::exp(-x * x / (2.0 * SIGMA * SIGMA))
        })
        .collect();
    let sum: f64 = line.iter().sum();
    line.iter().flat_map(|a| line.iter().map(move |b| a * b / (sum * sum))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(width: usize, height: usize, value: impl Fn(usize, usize) -> f64) -> Plane {
        let values = (0..width * height).map(|i| value(i % width, i / width)).collect();
        Plane { width, height, values }
    }

    #[test]
    fn flat_areas_are_exactly_zero_and_brightness_is_no_feature() {
        let step = plane(40, 12, |x, _| if x < 20 { 31.0 } else { 207.0 });
        let normal = step.normalised();
        assert!((0..40).all(|x| (normal.values[5 * 40 + x] != 0.0) == (17..23).contains(&x)), "{:?}", normal.values);
        let brighter = plane(40, 12, |x, _| if x < 20 { 41.0 } else { 217.0 });
        assert_eq!(normal.values, brighter.normalised().values);
        assert!((window().iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn one_pixel_is_normalised_as_written_down() {
        let dot = plane(9, 9, |x, y| if (x, y) == (4, 4) { 10.0 } else { 0.0 });
        let weight = window()[SIDE * RADIUS + RADIUS];
        // In the middle µ = 10 w and σ² = 100 w − µ².
        let (mean, square) = (10.0 * weight, 100.0 * weight);
        let wanted = (10.0 - mean) / ((square - mean * mean).sqrt() + 1.0);
        assert!((dot.normalised().values[4 * 9 + 4] - wanted).abs() < 1e-12);
    }

    #[test]
    fn products_are_of_neighbours() {
        let p = plane(3, 2, |x, y| [[1.0, 2.0, 3.0], [5.0, 7.0, 11.0]][y][x]);
        let all = |right, down| p.products(right, down).collect::<Vec<_>>();
        assert_eq!(all(1, 0), [2.0, 6.0, 35.0, 77.0]);
        assert_eq!(all(0, 1), [5.0, 14.0, 33.0]);
        assert_eq!(all(1, 1), [7.0, 22.0]);
        assert_eq!(all(-1, 1), [10.0, 21.0]);
    }

    #[test]
    fn halves_keep_ramps_and_sizes_of_any_kind() {
        let ramp = plane(11, 8, |x, y| 2.0 * x as f64 + 10.0 * y as f64).half();
        assert_eq!((ramp.width, ramp.height, ramp.values.len()), (5, 4, 20));
        // Between four pixels; the cubic weights reproduce a line away from the border.
        assert!((ramp.values[5 + 1] - (2.0 * 2.5 + 10.0 * 2.5)).abs() < 1e-9, "{:?}", ramp.values);
        for (w, h) in [(4, 4), (5, 4), (4, 17), (9, 9)] {
            let grey: Vec<u8> = (0..w * h).map(|i| (i * i * 37 % 251) as u8).collect();
            assert!(features(&grey, w, h).is_none_or(|f| f.iter().all(|v| v.is_finite())), "{w}×{h}");
        }
        assert_eq!(features(&[7; 9], 3, 3), None, "too small");
        assert_eq!(features(&[7; 64], 8, 8), None, "flat");
        assert_eq!(features(&[7; 63], 8, 8), None, "not a picture of that size");
    }
}

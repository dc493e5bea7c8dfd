//! The grey copy that all checks look at.

use crate::{Image, PixelFormat};

/// Parts a side of which the sharpest counts.
const PARTS: usize = 8;

/// Grey values, row by row.
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<u8>,
}

impl Plane {
    pub(super) fn of(image: &Image) -> Self {
        let grey = image.convert(PixelFormat::L8);
        Self { width: grey.width as usize, height: grey.height as usize, values: grey.pixels.to_vec() }
    }

    pub(super) fn at(&self, x: usize, y: usize) -> i32 {
        i32::from(self.values[y * self.width + x])
    }

    /// What the darkest 5 % do not exceed, and what the brightest 5 % reach.
    pub(super) fn extremes(&self) -> (f64, f64) {
        let mut counts = [0usize; 256];
        for v in &self.values {
            counts[usize::from(*v)] += 1;
        }
        let reach = |share: f64| {
            let wanted = (self.values.len() as f64 * share).ceil() as usize;
            let mut sum = 0;
            counts.iter().position(|n| {
                sum += n;
                sum >= wanted.max(1)
            })
        };
        (reach(0.05).unwrap_or(0) as f64, reach(0.95).unwrap_or(255) as f64)
    }

    /// Variance of the Laplacian in the sharpest part, as if the picture's greys ranged over 160: a blurred background is no
    /// blurred picture, and neither is a pale one.
    pub(super) fn sharpness(&self) -> f64 {
        if self.width < 3 || self.height < 3 {
            return 0.0;
        }
        let mut sums = [(0.0f64, 0.0f64, 0.0f64); PARTS * PARTS];
        for y in 1..self.height - 1 {
            for x in 1..self.width - 1 {
                let around = self.at(x - 1, y) + self.at(x + 1, y) + self.at(x, y - 1) + self.at(x, y + 1);
                let v = f64::from(around - 4 * self.at(x, y));
                let part = &mut sums[y * PARTS / self.height * PARTS + x * PARTS / self.width];
                *part = (part.0 + 1.0, part.1 + v, part.2 + v * v);
            }
        }
        let variance = |(n, sum, squares): &(f64, f64, f64)| {
            if *n < 1.0 { 0.0 } else { squares / n - (sum / n) * (sum / n) }
        };
        let (darkest, brightest) = self.extremes();
        let contrast = (brightest - darkest).clamp(24.0, 160.0) / 160.0;
        sums.iter().map(variance).fold(0.0, f64::max) / (contrast * contrast)
    }
}

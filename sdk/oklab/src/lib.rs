//! The OKLab colour space for plugins: conversion from sRGB bytes, distances, histograms.
//!
//! Only additions, multiplications, divisions and square roots are used, which IEEE 754 rounds the same way
//! everywhere: a plugin built to wasm and the same plugin built natively give bit-equal results, which the
//! `powf` and `cbrt` of two maths libraries do not. No image decoding, no other colour spaces.
//! Start at [`Converter`].

/// A colour in OKLab: lightness 0 (black) to 1 (white), green–red and blue–yellow within about −0.4 to 0.4.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lab {
    pub l: f32,
    pub a: f32,
    pub b: f32,
}

impl Lab {
    /// Euclidean distance; about 0.02 is just visible, black to white is 1.
    pub fn distance(self, other: Lab) -> f32 {
        self.squared_distance(other).sqrt()
    }

    /// The square of [`Lab::distance`], for comparisons.
    pub fn squared_distance(self, other: Lab) -> f32 {
        let (l, a, b) = (self.l - other.l, self.a - other.a, self.b - other.b);
        l * l + a * a + b * b
    }

    /// Distance from the grey axis: 0 for greys, about 0.3 for the most vivid colours of sRGB.
    pub fn chroma(self) -> f32 {
        (self.a * self.a + self.b * self.b).sqrt()
    }
}

/// Converts sRGB bytes to [`Lab`], with the transfer curve in a table.
///
/// ```
/// let convert = oklab::Converter::new();
/// let white = convert.lab([255, 255, 255]);
/// assert!((white.l - 1.0).abs() < 1e-3 && white.chroma() < 1e-3);
/// ```
pub struct Converter {
    linear: [f32; 256],
}

impl Default for Converter {
    fn default() -> Self {
        Self::new()
    }
}

impl Converter {
    /// Builds the table of the sRGB transfer curve (IEC 61966-2-1).
    pub fn new() -> Self {
        let mut linear = [0.0; 256];
        for (i, value) in linear.iter_mut().enumerate() {
            let c = i as f64 / 255.0;
            let v = if c <= 0.04045 {
                c / 12.92
            } else {
                // x^2.4 = x² · (x²)^⅕
                let x = (c + 0.055) / 1.055;
                x * x * root(x * x, 5)
            };
            *value = v as f32;
        }
        Self { linear }
    }

    /// One pixel. Source of the matrices: Björn Ottosson, "A perceptual color space for image processing" (2020).
    pub fn lab(&self, [r, g, b]: [u8; 3]) -> Lab {
        let (r, g, b) = (self.linear[r as usize], self.linear[g as usize], self.linear[b as usize]);
        let l = cube_root(0.412_221_46 * r + 0.536_332_55 * g + 0.051_445_995 * b);
        let m = cube_root(0.211_903_5 * r + 0.680_699_5 * g + 0.107_396_96 * b);
        let s = cube_root(0.088_302_46 * r + 0.281_718_85 * g + 0.629_978_7 * b);
        Lab {
            l: 0.210_454_26 * l + 0.793_617_8 * m - 0.004_072_047 * s,
            a: 1.977_998_5 * l - 2.428_592_2 * m + 0.450_593_7 * s,
            b: 0.025_904_037 * l + 0.782_771_77 * m - 0.808_675_77 * s,
        }
    }

    /// All pixels of a buffer of R, G, B bytes.
    pub fn all(&self, rgb: &[u8]) -> Vec<Lab> {
        rgb.chunks_exact(3).map(|p| self.lab([p[0], p[1], p[2]])).collect()
    }
}

/// The `n`-th root of a value in 0..=1, by Newton's method in f64.
fn root(value: f64, n: i32) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let mut x = 1.0_f64;
    for _ in 0..200 {
        let power = (1..n).fold(1.0, |p, _| p * x);
        let next = x - (x - value / power) / f64::from(n);
        if next == x {
            break;
        }
        x = next;
    }
    x
}

/// The cube root of a non-negative value, correct to about 1e-7 relative: Newton's method from the usual guess of
/// a third of the exponent.
fn cube_root(value: f32) -> f32 {
    if value <= 0.0 {
        return 0.0;
    }
    let mut x = f32::from_bits(value.to_bits() / 3 + 0x2a51_37a0);
    for _ in 0..4 {
        x = (2.0 * x + value / (x * x)) / 3.0;
    }
    x
}

/// Bins along each axis of [`histogram`].
pub const BINS: [usize; 3] = [8, 7, 7];
/// The range that the bins of a and b cover, from minus this to plus this.
const AB_RANGE: f32 = 0.28;

/// A colour histogram that sums to 1. Each pixel is shared between the eight nearest bins (trilinear), so that a
/// small change of colour changes the histogram a little and never jumps.
pub fn histogram(pixels: &[Lab]) -> Vec<f32> {
    let mut bins = vec![0.0_f64; BINS[0] * BINS[1] * BINS[2]];
    for p in pixels {
        let axes = [
            place(p.l, 0.0, 1.0, BINS[0]),
            place(p.a, -AB_RANGE, AB_RANGE, BINS[1]),
            place(p.b, -AB_RANGE, AB_RANGE, BINS[2]),
        ];
        for corner in 0..8 {
            let mut index = 0;
            let mut weight = 1.0;
            for (axis, &(low, upper_share)) in axes.iter().enumerate() {
                let upper = corner >> axis & 1;
                index = index * BINS[axis] + (low + upper).min(BINS[axis] - 1);
                weight *= if upper == 1 { upper_share } else { 1.0 - upper_share };
            }
            bins[index] += f64::from(weight);
        }
    }
    let total = pixels.len().max(1) as f64;
    bins.into_iter().map(|b| (b / total) as f32).collect()
}

/// Index of the bin centre at or below `value`, and the share that belongs to the next one.
fn place(value: f32, low: f32, high: f32, bins: usize) -> (usize, f32) {
    let at = ((value - low) / (high - low)).clamp(0.0, 1.0) * (bins - 1) as f32;
    let index = (at as usize).min(bins - 2);
    (index, at - index as f32)
}

/// χ² distance of two histograms that sum to 1: ½ Σ (p−q)² / (p+q). 0 for equal ones, 1 for no overlap.
pub fn chi_squared(p: &[f32], q: &[f32]) -> f32 {
    let sum: f64 = p
        .iter()
        .zip(q)
        .map(|(&p, &q)| (f64::from(p), f64::from(q)))
        .filter(|(p, q)| p + q > 0.0)
        .map(|(p, q)| (p - q) * (p - q) / (p + q))
        .sum();
    (sum / 2.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_published_values() {
        // Lab of the sRGB primaries from Ottosson's page and the CSS Color 4 sample values.
        let c = Converter::new();
        for (rgb, l, a, b) in [
            ([255, 0, 0], 0.62796, 0.22486, 0.12585),
            ([0, 255, 0], 0.86644, -0.23389, 0.17950),
            ([0, 0, 255], 0.45201, -0.03246, -0.31153),
            ([0, 0, 0], 0.0, 0.0, 0.0),
        ] {
            let lab = c.lab(rgb);
            assert!(lab.distance(Lab { l, a, b }) < 2e-4, "{rgb:?}: {lab:?}");
        }
    }

    #[test]
    fn transfer_curve_equals_the_power_function() {
        let c = Converter::new();
        for i in 11..256 {
            let expected = ((i as f64 / 255.0 + 0.055) / 1.055).powf(2.4);
            assert!((f64::from(c.linear[i]) - expected).abs() < 1e-7, "{i}");
        }
    }

    #[test]
    fn roots_are_roots() {
        for i in 1..1000 {
            let v = i as f32 / 1000.0;
            assert!((cube_root(v) / v.cbrt() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn histograms_of_equal_pictures_do_not_differ_and_of_opposite_ones_do_fully() {
        let c = Converter::new();
        let (white, black) = (histogram(&[c.lab([255; 3]); 10]), histogram(&[c.lab([0; 3]); 10]));
        assert!((white.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert_eq!(chi_squared(&white, &white), 0.0);
        assert!((chi_squared(&white, &black) - 1.0).abs() < 1e-3);
        let near = chi_squared(&histogram(&[c.lab([128, 40, 40])]), &histogram(&[c.lab([130, 40, 40])]));
        assert!(near < 0.01, "{near}");
    }
}

//! Perceptual hashes: 64 bits that stay similar under scaling and compression.
//!
//! They propose pairs; they cannot tell a re-encoded copy from the same drawing with another face.

use super::resize::plane_area;
use super::{Image, PixelFormat};

/// What the bits mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Perceptual {
    /// Brighter than the mean, 8×8.
    Ahash,
    /// Brighter than the left neighbour, 9×8.
    Dhash,
    /// Low frequencies of a 32×32 cosine transform above their median, 8×8.
    Phash,
}

pub(super) fn perceptual(img: &Image, kind: Perceptual) -> u64 {
    let grey = img.convert(PixelFormat::L8);
    let small = |w, h| plane_area(&grey.pixels, grey.width as usize, grey.height as usize, w, h);
    match kind {
        Perceptual::Ahash => {
            let v = small(8, 8);
            let mean = v.iter().sum::<f32>() / 64.0;
            bits(v.iter().map(|x| *x > mean))
        }
        Perceptual::Dhash => {
            let v = small(9, 8);
            bits(v.chunks_exact(9).flat_map(|row| row.windows(2).map(|w| w[1] > w[0])))
        }
        Perceptual::Phash => {
            let low = cosine_transform(&small(32, 32));
            let mut sorted = low;
            sorted.sort_by(f32::total_cmp);
            let median = f32::midpoint(sorted[31], sorted[32]);
            bits(low.iter().map(|x| *x > median))
        }
    }
}

fn bits(values: impl Iterator<Item = bool>) -> u64 {
    values.fold(0, |hash, bit| (hash << 1) | u64::from(bit))
}

/// The 8×8 lowest frequencies of the DCT-II of a 32×32 plane.
fn cosine_transform(plane: &[f32]) -> [f32; 64] {
    const N: usize = 32;
    let cosine = |k: usize, x: usize| (std::f32::consts::PI * k as f32 * (2 * x + 1) as f32 / (2 * N) as f32).cos();
    let table: [f32; 8 * N] = std::array::from_fn(|i| cosine(i / N, i % N));
    let basis = |k: usize, x: usize| table[k * N + x];
    // (32, 8): each row reduced to its low frequencies, then each column.
    let rows: Vec<f32> = plane
        .chunks_exact(N)
        .flat_map(|row| (0..8).map(move |k| row.iter().enumerate().map(|(x, v)| v * basis(k, x)).sum()))
        .collect();
    std::array::from_fn(|i| (0..N).map(|y| rows[y * 8 + i % 8] * basis(i / 8, y)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Codec, DecodeLimits, Filter, Fit, ResizeSpec};
    use crate::testing::noise;

    #[test]
    fn copies_are_near_and_others_far() {
        let img = noise(96, 80, 1);
        let small = ResizeSpec { width: 48, height: 40, fit: Fit::Stretch, filter: Filter::Area, pad_color: 0 };
        let jpeg = img.resize(&small).unwrap().encode(Codec::Jpeg, 70).unwrap();
        let copy = Image::decode(&jpeg, &DecodeLimits::default()).unwrap();
        let other = noise(96, 80, 2);
        for kind in [Perceptual::Ahash, Perceptual::Dhash, Perceptual::Phash] {
            let h = img.perceptual_hash(kind);
            let near = (h ^ copy.perceptual_hash(kind)).count_ones();
            let far = (h ^ other.perceptual_hash(kind)).count_ones();
            assert!(near <= 6, "{kind:?}: {near} bits differ in a copy");
            assert!(far >= 16, "{kind:?}: {far} bits differ in another picture");
        }
    }
}

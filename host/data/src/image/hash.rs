//! Perceptual hashes: 64 bits that stay similar under scaling and compression.
//!
//! They propose pairs; they cannot tell a re-encoded copy from the same drawing with another face.

use super::resize::plane_area;
use super::{Image, PixelFormat};
use std::sync::LazyLock;

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
        Perceptual::Dhash => dhash(&small(9, 8)),
        Perceptual::Phash => phash(&small(32, 32)),
    }
}

/// Of a grey plane of 9×8.
pub(crate) fn dhash(plane: &[f32]) -> u64 {
    bits(plane.chunks_exact(9).flat_map(|row| row.windows(2).map(|w| w[1] > w[0])))
}

/// Of a grey plane of 32×32.
pub(crate) fn phash(plane: &[f32]) -> u64 {
    let low = cosine_transform(plane);
    let mut sorted = low;
    sorted.sort_by(f32::total_cmp);
    let median = f32::midpoint(sorted[31], sorted[32]);
    bits(low.iter().map(|x| *x > median))
}

fn bits(values: impl Iterator<Item = bool>) -> u64 {
    values.fold(0, |hash, bit| (hash << 1) | u64::from(bit))
}

const N: usize = 32;

/// By place, then frequency.
static COSINES: LazyLock<[[f32; 8]; N]> = LazyLock::new(|| {
    let cosine = |k: usize, x: usize| (std::f32::consts::PI * k as f32 * (2 * x + 1) as f32 / (2 * N) as f32).cos();
    std::array::from_fn(|x| std::array::from_fn(|k| cosine(k, x)))
});

/// The 8×8 lowest frequencies of the DCT-II of a 32×32 plane.
fn cosine_transform(plane: &[f32]) -> [f32; 64] {
    let table = &*COSINES;
    let mut out = [0.0f32; 64];
    // Each row reduced to its low frequencies, then each column.
    for (row, down) in plane.chunks_exact(N).zip(table) {
        let mut low = [0.0f32; 8];
        for (v, across) in row.iter().zip(table) {
            for (sum, cosine) in low.iter_mut().zip(across) {
                *sum += v * cosine;
            }
        }
        for (sums, cosine) in out.as_chunks_mut::<8>().0.iter_mut().zip(down) {
            for (sum, v) in sums.iter_mut().zip(low) {
                *sum += v * cosine;
            }
        }
    }
    out
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

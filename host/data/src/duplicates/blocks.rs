//! Small copies of pictures, compared block by block.

use super::shrink::shrink;
use crate::Image;

/// Side of the copy, in pixels.
const SIDE: usize = 64;
/// Side of a block of it.
const BLOCK: usize = 4;
/// Blocks in a row.
const ROW: usize = SIDE / BLOCK;
/// Values of a block's line: R, G, B.
const LINE: usize = BLOCK * 3;
/// Values of a row of blocks.
const LINES: usize = BLOCK * SIDE * 3;
/// Up to this deviation a channel is flat.
const FLAT: f32 = 12.0;

/// A copy of 64 pixels a side, R, G, B, and what its channels are like.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pixels: Vec<u8>,
    /// Mean and deviation.
    channels: [(f32, f32); 3],
}

/// What takes a line of a block to mean 0 and deviation 1: a factor and an offset for each value.
type Scale = [(f32, f32); LINE];

impl Small {
    /// Of a picture in R, G, B.
    pub(super) fn of(rgb: &Image) -> Self {
        let pixels = shrink::<3>(&rgb.pixels, (rgb.width as usize, rgb.height as usize), (SIDE, SIDE));
        let n = (SIDE * SIDE) as f32;
        let (mut sums, mut squares) = ([0u32; 3], [0u32; 3]);
        for pixel in pixels.as_chunks::<3>().0 {
            for ((sum, square), v) in sums.iter_mut().zip(&mut squares).zip(pixel) {
                *sum += u32::from(*v);
                *square += u32::from(*v) * u32::from(*v);
            }
        }
        let channels = std::array::from_fn(|c| {
            let mean = sums[c] as f32 / n;
            (mean, (squares[c] as f32 / n - mean * mean).max(0.0).sqrt())
        });
        Self { pixels, channels }
    }

    /// The mean absolute difference of each block, with each channel at mean 0 and deviation 1. Flat channels are compared
    /// by their means: black is no copy of white.
    pub(super) fn differences(&self, other: &Self) -> Vec<f32> {
        self.rows(other).flatten().collect()
    }

    /// The largest of these, if it is not above a limit.
    pub(super) fn within(&self, other: &Self, limit: f32) -> Option<f32> {
        let mut largest = 0.0f32;
        for row in self.rows(other) {
            largest = row.into_iter().fold(largest, f32::max);
            if largest > limit {
                return None;
            }
        }
        Some(largest)
    }

    /// Rows of blocks, compared when they are asked for.
    fn rows<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = [f32; ROW]> + 'a {
        let flat = self.channels.iter().zip(&other.channels).filter(|(a, b)| a.1 <= FLAT && b.1 <= FLAT);
        let least = flat.map(|(a, b)| (a.0 - b.0).abs() / FLAT).fold(0.0, f32::max);
        let scales = (self.scale(), other.scale());
        self.pixels.chunks_exact(LINES).zip(other.pixels.chunks_exact(LINES)).map(move |(a, b)| {
            let mut sums = [0.0f32; ROW];
            for (i, (x, y)) in a.as_chunks::<LINE>().0.iter().zip(b.as_chunks::<LINE>().0).enumerate() {
                sums[i % ROW] += apart(x, &scales.0, y, &scales.1);
            }
            sums.map(|sum| least.max(sum / (BLOCK * LINE) as f32))
        })
    }

    fn scale(&self) -> Scale {
        std::array::from_fn(|i| {
            let (mean, deviation) = self.channels[i % 3];
            // The noise of a flat channel must not be blown up.
            let factor = 1.0 / deviation.max(FLAT);
            (factor, mean * factor)
        })
    }
}

/// The sum of the absolute differences of two lines of a block.
fn apart(x: &[u8; LINE], of_x: &Scale, y: &[u8; LINE], of_y: &Scale) -> f32 {
    let value = |v: &u8, (factor, offset): &(f32, f32)| f32::from(*v) * factor - offset;
    x.iter().zip(of_x).zip(y.iter().zip(of_y)).map(|((x, sx), (y, sy))| (value(x, sx) - value(y, sy)).abs()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PixelFormat;
    use crate::testing::noise;

    fn small(image: &Image) -> Small {
        Small::of(&image.convert(PixelFormat::Rgb8))
    }

    fn grey(value: impl Fn(usize, usize) -> u8) -> Image {
        let pixels: Vec<u8> = (0..SIDE * SIDE).map(|i| value(i % SIDE, i / SIDE)).collect();
        Image::new(SIDE as u32, SIDE as u32, PixelFormat::L8, pixels).unwrap()
    }

    #[test]
    fn brightness_and_contrast_are_no_difference_but_a_changed_block_is() {
        let scene = |x: usize, y: usize| ((x * 5 + y * 3) % 97 + 40) as u8;
        let one = small(&grey(scene));
        let paler = small(&grey(|x, y| scene(x, y) / 2 + 90));
        assert!(one.within(&paler, 0.1).is_some_and(|far| far > 0.0));
        let redrawn = small(&grey(|x, y| if x / BLOCK == 3 && y / BLOCK == 7 { 255 } else { scene(x, y) }));
        let blocks = one.differences(&redrawn);
        assert_eq!(blocks.len(), ROW * ROW);
        assert!(blocks[7 * ROW + 3] > 2.0, "{}", blocks[7 * ROW + 3]);
        assert!(blocks.iter().enumerate().all(|(i, far)| i == 7 * ROW + 3 || *far < 0.3));
        assert_eq!(one.within(&redrawn, 1.0), None);
        assert_eq!(one.within(&redrawn, 9.0), Some(blocks[7 * ROW + 3]));
    }

    #[test]
    fn flat_pictures_are_compared_by_their_means() {
        let flat = |v: u8| small(&grey(|_, _| v));
        assert_eq!(flat(10).within(&flat(240), 1.0), None);
        assert_eq!(flat(10).within(&flat(10), 0.0), Some(0.0));
        // Noise around a mean is not blown up to a picture.
        let noisy = small(&grey(|x, y| 100 + ((x * 7 + y * 13) % 3) as u8));
        assert!(noisy.within(&flat(101), 0.2).is_some());
        assert!(small(&noise(64, 64, 1)).within(&small(&noise(64, 64, 2)), 0.7).is_none());
    }
}

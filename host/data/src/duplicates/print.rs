//! What is kept of a picture to compare it: hashes, and copies of 64 pixels.

use super::Relation;
use crate::{Filter, Fit, Image, ImageError, Perceptual, PixelFormat, Rect, ResizeSpec};

/// Side of the copy that is compared.
const SIDE: usize = 64;
/// Side of a block of it.
const BLOCK: usize = 4;
/// Longest side of the copy that hashes and windows are made of.
const SHARED: u32 = 256;
/// Windows by their share of each side.
const SHARES: [f64; 3] = [0.94, 0.88, 0.8];
/// Shapes that differ by more are no copies of each other.
const SHAPE: f64 = 0.04;
/// Of a variant at most this share of the blocks is another; of pictures whose hashes are near by chance, more.
const CHANGED: f32 = 0.35;
/// Up to this deviation a channel is flat.
const FLAT: f32 = 12.0;

/// What is kept of a picture.
#[derive(Clone, Debug)]
pub struct Print {
    /// Digest of the file.
    pub file: String,
    pub width: u32,
    pub height: u32,
    pub(super) pixels: u64,
    pub(super) phash: u64,
    pub(super) dhash: u64,
    small: Vec<u8>,
    pub(super) windows: Vec<Window>,
    shared: Image,
}

/// A part of a picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    area: Rect,
    pub(super) phash: u64,
}

impl Print {
    /// Of a picture whose file has this digest. `crops`: also what finds parts of it.
    ///
    /// # Errors
    /// The picture cannot be made smaller.
    pub fn of(image: &Image, file: &str, crops: bool) -> Result<Self, ImageError> {
        let rgb = on_white(image);
        let shared = rgb.resize(&ResizeSpec {
            width: SHARED.min(image.width),
            height: SHARED.min(image.height),
            fit: Fit::Contain,
            filter: Filter::Area,
            pad_color: 0,
        })?;
        let mut windows = Vec::new();
        for share in SHARES.iter().filter(|_| crops) {
            let side = |length: u32| ((f64::from(length) * share).round() as u32).max(1);
            let (width, height) = (side(shared.width), side(shared.height));
            for at in 0..9 {
                let x = (shared.width - width) * (at % 3) / 2;
                let y = (shared.height - height) * (at / 3) / 2;
                let area = Rect { x, y, width, height };
                windows.push(Window { area, phash: shared.crop(area)?.perceptual_hash(Perceptual::Phash) });
            }
        }
        Ok(Self {
            file: file.to_owned(),
            width: image.width,
            height: image.height,
            pixels: quick_hash(&rgb.pixels),
            phash: shared.perceptual_hash(Perceptual::Phash),
            dhash: shared.perceptual_hash(Perceptual::Dhash),
            small: small(&shared)?,
            windows,
            shared,
        })
    }

    fn shape(&self) -> f64 {
        f64::from(self.width) / f64::from(self.height.max(1))
    }

    /// What another picture is to this one, if their hashes are near.
    pub(super) fn compare(&self, other: &Self, block: f32) -> Option<(Relation, f32)> {
        if !self.file.is_empty() && self.file == other.file {
            return Some((Relation::File, 0.0));
        }
        if (self.pixels, self.width, self.height) == (other.pixels, other.width, other.height) {
            return Some((Relation::Pixels, 0.0));
        }
        let blocks = differences(&self.small, &other.small);
        let distance = largest(&blocks);
        let same_shape = (self.shape() / other.shape()).ln().abs() <= SHAPE;
        if same_shape && distance <= block {
            return Some((Relation::Copy, distance));
        }
        let changed = blocks.iter().filter(|d| **d > block).count();
        (changed as f32 <= CHANGED * blocks.len() as f32).then_some((Relation::Variant, distance))
    }

    /// Largest difference of a block, in standard deviations, whatever the shapes.
    pub(super) fn distance(&self, other: &Self) -> f32 {
        largest(&differences(&self.small, &other.small))
    }

    /// How far a window of this picture is from another picture.
    pub(super) fn distance_of_window(&self, window: &Window, other: &Self) -> f32 {
        let part = self.shared.crop(window.area).and_then(|part| small(&part));
        part.map_or(f32::INFINITY, |part| largest(&differences(&part, &other.small)))
    }
}

/// R, G, B; what is transparent shows white.
fn on_white(image: &Image) -> Image {
    if image.format != PixelFormat::Rgba8 {
        return image.convert(PixelFormat::Rgb8);
    }
    let over = |v: u8, a: u8| ((u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 127) / 255) as u8;
    let rgb: Vec<u8> =
        image.pixels.chunks_exact(4).flat_map(|p| [over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])]).collect();
    Image::new(image.width, image.height, PixelFormat::Rgb8, rgb).unwrap_or_else(|_| image.convert(PixelFormat::Rgb8))
}

fn small(image: &Image) -> Result<Vec<u8>, ImageError> {
    let side = SIDE as u32;
    let spec = ResizeSpec { width: side, height: side, fit: Fit::Stretch, filter: Filter::Area, pad_color: 0 };
    Ok(image.resize(&spec)?.pixels.to_vec())
}

fn largest(blocks: &[f32]) -> f32 {
    blocks.iter().copied().fold(0.0, f32::max)
}

/// The mean absolute difference of each block, with each channel at mean 0 and deviation 1. Flat channels are compared by
/// their means: black is no copy of white.
fn differences(a: &[u8], b: &[u8]) -> Vec<f32> {
    let (a, b) = (Normal::of(a), Normal::of(b));
    let blocks = SIDE / BLOCK;
    let mut sums = vec![0.0f32; blocks * blocks];
    for (i, (x, y)) in a.values.iter().zip(&b.values).enumerate() {
        let (column, row) = (i / 3 % SIDE, i / 3 / SIDE);
        sums[row / BLOCK * blocks + column / BLOCK] += (x - y).abs();
    }
    let flat = a.channels.iter().zip(&b.channels).filter(|(a, b)| a.1 <= FLAT && b.1 <= FLAT);
    let means = flat.map(|(a, b)| (a.0 - b.0).abs() / FLAT).fold(0.0, f32::max);
    sums.into_iter().map(|sum| means.max(sum / (BLOCK * BLOCK * 3) as f32)).collect()
}

struct Normal {
    /// Mean and deviation.
    channels: [(f32, f32); 3],
    values: Vec<f32>,
}

impl Normal {
    fn of(pixels: &[u8]) -> Self {
        let n = (pixels.len() / 3).max(1) as f32;
        let channel = |c: usize| pixels.iter().skip(c).step_by(3).map(|v| f32::from(*v));
        let channels: [(f32, f32); 3] = std::array::from_fn(|c| {
            let mean = channel(c).sum::<f32>() / n;
            (mean, (channel(c).map(|v| (v - mean) * (v - mean)).sum::<f32>() / n).sqrt())
        });
        // The noise of a flat channel must not be blown up.
        let value = |(i, v): (usize, &u8)| (f32::from(*v) - channels[i % 3].0) / channels[i % 3].1.max(FLAT);
        Self { channels, values: pixels.iter().enumerate().map(value).collect() }
    }
}

/// Tells equal pixels from others; not made to withstand somebody who tries.
fn quick_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
    hash ^ hash >> 32
}

//! What is kept of a picture to compare it: hashes, and copies of 64 pixels.

use super::Relation;
use super::blocks::Small;
use super::shrink::{Area, Sums, shrink};
use crate::image::{dhash, phash};
use crate::{Image, ImageError, PixelFormat, Rect};

/// Longest side of the copy that hashes and windows are made of.
const SHARED: u32 = 256;
/// Windows by their share of each side.
const SHARES: [f64; 3] = [0.94, 0.88, 0.8];
/// Shapes that differ by more are no copies of each other.
const SHAPE: f64 = 0.04;
/// Of a variant at most this share of the blocks is another; of pictures whose hashes are near by chance, more.
const CHANGED: f32 = 0.35;

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
    pub(super) small: Small,
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
        let shared = shared(&rgb)?;
        let sums = Sums::new(&shared.convert(PixelFormat::L8).pixels, shared.width as usize, shared.height as usize);
        let mut windows = Vec::new();
        for share in SHARES.iter().filter(|_| crops) {
            let side = |length: u32| ((f64::from(length) * share).round() as u32).max(1);
            let (width, height) = (side(shared.width), side(shared.height));
            for at in 0..9 {
                let x = (shared.width - width) * (at % 3) / 2;
                let y = (shared.height - height) * (at / 3) / 2;
                let [left, top, wide, high] = [x, y, width, height].map(f64::from);
                let plane = sums.means(Area { x: left, y: top, width: wide, height: high }, 32, 32);
                windows.push(Window { area: Rect { x, y, width, height }, phash: phash(&plane) });
            }
        }
        Ok(Self {
            file: file.to_owned(),
            width: image.width,
            height: image.height,
            pixels: quick_hash(&rgb.pixels),
            phash: phash(&sums.means(sums.whole(), 32, 32)),
            dhash: dhash(&sums.means(sums.whole(), 9, 8)),
            small: Small::of(&shared),
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
        let blocks = self.small.differences(&other.small);
        let distance = blocks.iter().copied().fold(0.0, f32::max);
        let same_shape = (self.shape() / other.shape()).ln().abs() <= SHAPE;
        if same_shape && distance <= block {
            return Some((Relation::Copy, distance));
        }
        let changed = blocks.iter().filter(|d| **d > block).count();
        (changed as f32 <= CHANGED * blocks.len() as f32).then_some((Relation::Variant, distance))
    }

    /// Largest difference of a block, in standard deviations, whatever the shapes.
    pub(super) fn distance(&self, other: &Self) -> f32 {
        self.small.within(&other.small, f32::INFINITY).unwrap_or(f32::INFINITY)
    }

    /// What a window of this picture shows, to be compared; none if it is empty.
    pub(super) fn part(&self, window: &Window) -> Option<Small> {
        self.shared.crop(window.area).map(|part| Small::of(&part)).ok()
    }
}

/// R, G, B; what is transparent shows white.
fn on_white(image: &Image) -> Image {
    if image.format != PixelFormat::Rgba8 {
        return image.convert(PixelFormat::Rgb8);
    }
    let over = |v: u8, a: u8| {
        let sum = u32::from(v) * u32::from(a) + 255 * (255 - u32::from(a)) + 128;
        ((sum + (sum >> 8)) >> 8) as u8
    };
    let mut rgb = vec![0u8; image.pixels.len() / 4 * 3];
    for (to, p) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(image.pixels.as_chunks::<4>().0) {
        *to = [over(p[0], p[3]), over(p[1], p[3]), over(p[2], p[3])];
    }
    Image::new(image.width, image.height, PixelFormat::Rgb8, rgb).unwrap_or_else(|_| image.convert(PixelFormat::Rgb8))
}

/// The copy that everything else is made of.
fn shared(rgb: &Image) -> Result<Image, ImageError> {
    let scale = (f64::from(SHARED) / f64::from(rgb.width.max(rgb.height))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let (width, height) = (side(rgb.width), side(rgb.height));
    let size = |w: u32, h: u32| (w as usize, h as usize);
    let pixels = shrink::<3>(&rgb.pixels, size(rgb.width, rgb.height), size(width, height));
    Image::new(width, height, PixelFormat::Rgb8, pixels)
}

/// Tells equal pixels from others; not made to withstand somebody who tries. Four lanes, so that none waits for another.
fn quick_hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    let mut lanes: [u64; 4] = std::array::from_fn(|lane| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(2 * lane as u64 + 1));
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }
    let hash = lanes.into_iter().chain(rest.iter().map(|b| u64::from(*b))).fold(0, step);
    hash ^ hash >> 32
}

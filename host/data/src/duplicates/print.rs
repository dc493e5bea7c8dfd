//! What is kept of a picture to compare it: hashes, and copies of 64 pixels.

use super::Relation;
use super::blocks::Small;
use super::shrink::{Area, Sums};
use crate::image::{Small as Decoded, dhash, phash};
use crate::{DecodeLimits, Image, ImageError, PixelFormat, Rect};

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
    /// Of a file with this digest. `crops`: also what finds parts of it.
    ///
    /// # Errors
    /// The file is no good picture, or larger than the limits allow.
    pub fn read(bytes: &[u8], file: &str, limits: &DecodeLimits, crops: bool) -> Result<Self, ImageError> {
        Self::of_small(Decoded::decode(bytes, limits, SHARED)?, file, crops)
    }

    /// Of a picture whose file has this digest. `crops`: also what finds parts of it.
    ///
    /// # Errors
    /// The picture cannot be made smaller.
    pub fn of(image: &Image, file: &str, crops: bool) -> Result<Self, ImageError> {
        Self::of_small(Decoded::of(image, SHARED)?, file, crops)
    }

    fn of_small(small: Decoded, file: &str, crops: bool) -> Result<Self, ImageError> {
        let Decoded { image: shared, width, height, pixels } = small;
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
            width,
            height,
            pixels,
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

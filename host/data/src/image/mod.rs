//! A decoded picture: shared pixels, row-major, 8 bits a channel.

mod canny;
mod decode;
mod encode;
mod hash;
mod resize;
mod small;
mod tensor;
mod text;

pub use canny::canny;
pub use decode::{DecodeLimits, read_size};
pub use encode::Codec;
pub use hash::Perceptual;
pub(crate) use hash::{dhash, phash};
pub use resize::{Filter, Fit, ResizeSpec};
pub use small::Small;
pub use tensor::{ChannelOrder, Layout, TensorSpec};

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Channels of a pixel, one byte each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Luminance.
    L8,
    /// sRGB.
    Rgb8,
    /// sRGB with straight (not premultiplied) alpha.
    Rgba8,
}

impl PixelFormat {
    /// Bytes of one pixel.
    pub fn channels(self) -> usize {
        match self {
            Self::L8 => 1,
            Self::Rgb8 => 3,
            Self::Rgba8 => 4,
        }
    }
}

/// A part of a picture, in pixels from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// Why a picture could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("{0}")]
    Unsupported(String),
    #[error("damaged: {0}")]
    Damaged(String),
    #[error("too large: {width}×{height} is {:.1} megapixels, the limit is {:.1}", *.width as f64 * *.height as f64 / 1e6, *.limit as f64 / 1e6)]
    TooLarge { width: u32, height: u32, limit: u64 },
    #[error("empty: {width}×{height}")]
    Empty { width: u32, height: u32 },
    #[error("area {area:?} is not within {width}×{height}")]
    Outside { area: Rect, width: u32, height: u32 },
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Any of the others, with the file's name.
    #[error("{path}: {source}")]
    File { path: String, source: Box<ImageError> },
}

impl ImageError {
    /// The error without the file's name.
    pub fn leaf(&self) -> &Self {
        match self {
            Self::File { source, .. } => source.leaf(),
            other => other,
        }
    }
}

/// A picture. Cloning shares the pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub width: u32,
    pub height: u32,
    pub format: PixelFormat,
    /// Rows from the top, pixels from the left, channels together.
    pub pixels: Arc<[u8]>,
    /// Text that the file carried (PNG text chunks), and `animated` if only the first frame was read.
    pub metadata: Arc<BTreeMap<String, String>>,
}

impl Image {
    /// A picture from pixels.
    ///
    /// # Errors
    /// A side is zero, or the number of bytes does not match.
    pub fn new(width: u32, height: u32, format: PixelFormat, pixels: impl Into<Arc<[u8]>>) -> Result<Self, ImageError> {
        let pixels = pixels.into();
        if width == 0 || height == 0 {
            return Err(ImageError::Empty { width, height });
        }
        let expected = u64::from(width) * u64::from(height) * format.channels() as u64;
        if expected != pixels.len() as u64 {
            return Err(ImageError::Invalid(format!(
                "{width}×{height} pixels of {format:?}: expected {expected} bytes, found {}",
                pixels.len()
            )));
        }
        Ok(Self { width, height, format, pixels, metadata: Arc::default() })
    }

    /// Decodes a PNG, JPEG, WebP, GIF, BMP or TIFF; the format is told from the contents. The size is checked before
    /// any pixel is allocated, the EXIF orientation is applied, of an animation the first frame is taken, and 16-bit
    /// channels are reduced to 8.
    ///
    /// # Errors
    /// Unknown format, size over the limits, cut-off or damaged data.
    pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Self, ImageError> {
        decode::decode(bytes, limits)
    }

    /// Reads and decodes a file.
    ///
    /// # Errors
    /// As [`Image::decode`], with the file's name.
    pub fn open(path: &Path, limits: &DecodeLimits) -> Result<Self, ImageError> {
        std::fs::read(path)
            .map_err(ImageError::Io)
            .and_then(|bytes| Self::decode(&bytes, limits))
            .map_err(|source| ImageError::File { path: path.display().to_string(), source: Box::new(source) })
    }

    /// The same picture with this text attached.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.metadata).insert(key.to_owned(), value.into());
        self
    }

    /// `sha256:…` of size, format and pixels: the identity of what is seen.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("{}x{} {:?}\n", self.width, self.height, self.format));
        hash.update(&self.pixels);
        format!("sha256:{:x}", hash.finalize())
    }

    /// A part of the picture.
    ///
    /// # Errors
    /// The area is empty or reaches outside.
    pub fn crop(&self, area: Rect) -> Result<Self, ImageError> {
        let inside = |at: u32, len: u32, size: u32| len > 0 && at.checked_add(len).is_some_and(|end| end <= size);
        if !inside(area.x, area.width, self.width) || !inside(area.y, area.height, self.height) {
            return Err(ImageError::Outside { area, width: self.width, height: self.height });
        }
        let n = self.format.channels();
        let row = self.width as usize * n;
        let start = area.x as usize * n;
        let len = area.width as usize * n;
        let mut pixels = Vec::with_capacity(len * area.height as usize);
        for y in area.y..area.y + area.height {
            let at = y as usize * row + start;
            pixels.extend_from_slice(&self.pixels[at..at + len]);
        }
        Ok(Self { width: area.width, height: area.height, pixels: pixels.into(), ..self.clone() })
    }

    /// The picture in another format. Alpha is composited over white; luminance is ITU-R 601, as in PIL.
    #[must_use]
    pub fn convert(&self, format: PixelFormat) -> Self {
        use PixelFormat::{L8, Rgb8, Rgba8};
        let p = &self.pixels;
        let pixels: Vec<u8> = match (self.format, format) {
            (a, b) if a == b => return self.clone(),
            (L8, Rgb8) => p.iter().flat_map(|v| [*v; 3]).collect(),
            (L8, Rgba8) => p.iter().flat_map(|v| [*v, *v, *v, 255]).collect(),
            (Rgb8, L8) => p.chunks_exact(3).map(luminance).collect(),
            (Rgb8, Rgba8) => p.chunks_exact(3).flat_map(|c| [c[0], c[1], c[2], 255]).collect(),
            (Rgba8, L8) => p.chunks_exact(4).map(|c| luminance(&over_white(c))).collect(),
            (Rgba8, _) => p.chunks_exact(4).flat_map(over_white).collect(),
            (L8 | Rgb8, _) => return self.clone(),
        };
        Self { format, pixels: pixels.into(), ..self.clone() }
    }

    /// The picture at another size. The result has exactly the size asked for, except with [`Fit::Contain`].
    ///
    /// # Errors
    /// The size asked for is zero or over 64 megapixels.
    pub fn resize(&self, spec: &ResizeSpec) -> Result<Self, ImageError> {
        resize::resize(self, spec)
    }

    /// The bytes of an image file. WebP is written without loss, so that `quality` (1–100) counts for JPEG alone; PNG
    /// keeps the metadata as text chunks.
    ///
    /// # Errors
    /// The codec cannot hold the size.
    pub fn encode(&self, codec: Codec, quality: u8) -> Result<Vec<u8>, ImageError> {
        encode::encode(self, codec, quality)
    }

    /// The bytes of a PNG file with 16 bits a channel; `values` are the picture's own in that depth, in the same order.
    ///
    /// # Errors
    /// There are more or fewer values than the picture has.
    pub fn encode_png16(&self, values: &[u16]) -> Result<Vec<u8>, ImageError> {
        encode::encode_png16(self, values)
    }

    /// A 64-bit hash that stays similar when the picture is scaled or compressed again.
    pub fn perceptual_hash(&self, kind: Perceptual) -> u64 {
        hash::perceptual(self, kind)
    }

    /// The picture as an array (1, 3, h, w) or (1, h, w, 3).
    ///
    /// # Errors
    /// The size asked for is zero or over 64 megapixels, or the type is not a float or u8.
    pub fn to_array(&self, spec: &TensorSpec) -> Result<crate::Array, ImageError> {
        tensor::to_array(self, spec)
    }
}

/// ITU-R 601-2 luma in PIL's fixed point.
fn luminance(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) as u8
}

fn over_white(rgba: &[u8]) -> [u8; 3] {
    let alpha = u32::from(rgba[3]);
    [0, 1, 2].map(|c| ((u32::from(rgba[c]) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_and_converts() {
        let img = Image::new(3, 2, PixelFormat::L8, vec![0, 1, 2, 3, 4, 5]).unwrap();
        let part = img.crop(Rect { x: 1, y: 1, width: 2, height: 1 }).unwrap();
        assert_eq!(part.pixels.as_ref(), [4, 5]);
        assert_eq!(part.convert(PixelFormat::Rgb8).pixels.as_ref(), [4, 4, 4, 5, 5, 5]);
        assert!(img.crop(Rect { x: u32::MAX, y: 0, width: 2, height: 1 }).is_err());
        assert!(img.crop(Rect { x: 0, y: 0, width: 0, height: 1 }).is_err());
    }

    #[test]
    fn transparent_pixels_become_white() {
        let img = Image::new(2, 1, PixelFormat::Rgba8, vec![9, 9, 9, 0, 9, 9, 9, 255]).unwrap();
        assert_eq!(img.convert(PixelFormat::Rgb8).pixels.as_ref(), [255, 255, 255, 9, 9, 9]);
    }

    #[test]
    fn refuses_pixels_that_do_not_fit() {
        assert!(matches!(Image::new(0, 1, PixelFormat::L8, vec![]), Err(ImageError::Empty { .. })));
        assert!(Image::new(2, 2, PixelFormat::Rgb8, vec![0; 11]).is_err());
    }
}

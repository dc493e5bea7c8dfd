//! A small copy of a picture, for what looks at it from afar. Files are decoded whole: blocks of a JPEG could be decoded to
//! fewer pixels at once, but the decoder that can do so took longer for it than ours takes for all of them.

use super::decode::DecodeLimits;
use super::{Image, ImageError, PixelFormat};
use crate::duplicates::shrink;

/// A picture to be looked at from afar.
#[derive(Clone, Debug)]
pub struct Small {
    /// Its copy in R, G, B, with the longest side as asked for, or as the picture's if that is smaller. What is transparent
    /// is white.
    pub image: Image,
    /// Size of the picture.
    pub width: u32,
    pub height: u32,
    /// Equal for pictures of equal pixels.
    pub pixels: u64,
}

impl Small {
    /// Decodes a picture for use at `side` pixels.
    ///
    /// # Errors
    /// As [`Image::decode`].
    pub fn decode(bytes: &[u8], limits: &DecodeLimits, side: u32) -> Result<Self, ImageError> {
        Self::of(&Image::decode(bytes, limits)?, side)
    }

    /// Of a picture that is decoded already.
    ///
    /// # Errors
    /// The picture cannot be made smaller.
    pub fn of(image: &Image, side: u32) -> Result<Self, ImageError> {
        let rgb = on_white(image);
        let pixels = quick_hash(&rgb.pixels);
        Ok(Self { image: smaller(&rgb, side)?, width: image.width, height: image.height, pixels })
    }
}

/// The mean over what each of fewer pixels covers.
fn smaller(rgb: &Image, side: u32) -> Result<Image, ImageError> {
    let scale = (f64::from(side) / f64::from(rgb.width.max(rgb.height))).min(1.0);
    let length = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let (width, height) = (length(rgb.width), length(rgb.height));
    let size = |w: u32, h: u32| (w as usize, h as usize);
    let pixels = shrink::<3>(&rgb.pixels, size(rgb.width, rgb.height), size(width, height));
    Image::new(width, height, PixelFormat::Rgb8, pixels)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Codec, Filter, Fit, ResizeSpec};
    use crate::testing::{gradient, noise};

    const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 64_000_000 };

    fn area(image: &Image, width: u32, height: u32) -> Image {
        let spec = ResizeSpec { width, height, fit: Fit::Stretch, filter: Filter::Area, pad_color: 0 };
        image.convert(PixelFormat::Rgb8).resize(&spec).unwrap()
    }

    #[test]
    fn it_is_the_large_one_made_smaller_and_says_how_large_that_was() {
        for picture in [gradient(800, 600), noise(403, 801, 3)] {
            let small = Small::decode(&picture.encode(Codec::Png, 0).unwrap(), &LIMITS, 200).unwrap();
            assert_eq!((small.width, small.height), (picture.width, picture.height));
            let (w, h) = (small.image.width, small.image.height);
            assert_eq!(w.max(h), 200);
            let whole = area(&picture, w, h);
            let worst = whole.pixels.iter().zip(&*small.image.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst <= 1, "{worst}");
        }
        let jpeg = gradient(800, 600).encode(Codec::Jpeg, 90).unwrap();
        assert!(Small::decode(&jpeg[..jpeg.len() / 2], &LIMITS, 100).is_err());
        let tight = Small::decode(&jpeg, &DecodeLimits { max_pixels: 1000 }, 100).unwrap_err();
        assert!(matches!(tight, ImageError::TooLarge { width: 800, .. }), "{tight}");
    }

    #[test]
    fn equal_pixels_are_equal_in_any_file_and_jpegs_stand_upright() {
        let jpeg = gradient(640, 320).encode(Codec::Jpeg, 90).unwrap();
        let with = |segment: &[u8]| [&jpeg[..2], segment, &jpeg[2..]].concat();
        let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let look = |bytes: &[u8]| Small::decode(bytes, &LIMITS, 80).unwrap();
        let (plain, turned, commented) = (look(&jpeg), look(&with(exif)), look(&with(b"\xff\xfe\x00\x06text")));
        assert_eq!((turned.width, turned.height, turned.image.width, turned.image.height), (320, 640, 40, 80));
        assert_eq!(plain.pixels, commented.pixels);
        assert_ne!(plain.pixels, turned.pixels);
        let png = Image::decode(&jpeg, &LIMITS).unwrap().encode(Codec::Png, 0).unwrap();
        assert_eq!(plain.pixels, look(&png).pixels);
        let other = look(&gradient(640, 320).encode(Codec::Jpeg, 89).unwrap());
        assert_ne!(plain.pixels, other.pixels);
    }
}

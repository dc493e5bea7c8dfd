//! A small copy of a picture, of a JPEG without decoding all of it: its blocks of 8×8 pixels can be turned into 4×4, 2×2 or 1
//! at once. JPEGs with colours that this decoder does not know are decoded whole, as other formats are.

use super::decode::{DecodeLimits, jpeg_is_whole};
use super::{Image, ImageError, PixelFormat};
use crate::duplicates::shrink;
use image::DynamicImage;
use image::metadata::Orientation;
use jpeg_decoder::{Decoder, PixelFormat as Jpeg};

/// A picture to be looked at from afar.
#[derive(Clone, Debug)]
pub struct Small {
    /// Its copy in R, G, B, with the longest side as asked for, or as the picture's if that is smaller. What is transparent
    /// is white.
    pub image: Image,
    /// Size of the picture.
    pub width: u32,
    pub height: u32,
    /// Equal for pictures of equal pixels; a JPEG that was not decoded whole equals those of the same compressed data.
    pub pixels: u64,
}

impl Small {
    /// Decodes a picture for use at `side` pixels.
    ///
    /// # Errors
    /// As [`Image::decode`].
    pub fn decode(bytes: &[u8], limits: &DecodeLimits, side: u32) -> Result<Self, ImageError> {
        if bytes.starts_with(b"\xff\xd8")
            && let Some(small) = jpeg(bytes, limits, side)?
        {
            return Ok(small);
        }
        Self::of(&Image::decode(bytes, limits)?, side)
    }

    /// Of a picture that is decoded already.
    ///
    /// # Errors
    /// The picture cannot be made smaller.
    pub fn of(image: &Image, side: u32) -> Result<Self, ImageError> {
        let (width, height) = (image.width, image.height);
        let rgb = on_white(image);
        let pixels = quick_hash(&rgb.pixels);
        let covered = (f64::from(width), f64::from(height));
        Ok(Self { image: smaller(&rgb, covered, (width, height), side)?, width, height, pixels })
    }
}

/// The mean over what each of fewer pixels covers. The picture may be a reduced one that goes on a little beyond the edge
/// of what it shows: `covered` is what counts, `size` that of the original.
fn smaller(rgb: &Image, covered: (f64, f64), size: (u32, u32), side: u32) -> Result<Image, ImageError> {
    let scale = (f64::from(side) / f64::from(size.0.max(size.1))).min(1.0);
    let length = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let (width, height) = (length(size.0), length(size.1));
    let target = (width as usize, height as usize);
    let pixels = shrink::<3>(&rgb.pixels, rgb.width as usize, covered, target);
    Image::new(width, height, PixelFormat::Rgb8, pixels)
}

/// None: to be decoded as a whole, which also says what is wrong with it.
fn jpeg(bytes: &[u8], limits: &DecodeLimits, side: u32) -> Result<Option<Small>, ImageError> {
    jpeg_is_whole(bytes)?;
    let mut decoder = Decoder::new(bytes);
    let (Ok(()), Some(info)) = (decoder.read_info(), decoder.info()) else { return Ok(None) };
    let format = match info.pixel_format {
        Jpeg::L8 => PixelFormat::L8,
        Jpeg::RGB24 => PixelFormat::Rgb8,
        Jpeg::L16 | Jpeg::CMYK32 => return Ok(None),
    };
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    if width.max(height) / 2 < side || u64::from(width) * u64::from(height) > limits.max_pixels {
        return Ok(None);
    }
    let orientation = decoder.exif_data().and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    let wanted = |length: u32| u16::try_from((length * side).div_ceil(width.max(height)).max(1)).unwrap_or(u16::MAX);
    let Ok((w, h)) = decoder.scale(wanted(width), wanted(height)) else { return Ok(None) };
    let Ok(pixels) = decoder.decode() else { return Ok(None) };
    let Ok(reduced) = Image::new(w.into(), h.into(), format, pixels) else { return Ok(None) };
    // 8, 4, 2 or 1 pixels became one; the last of a row may be of fewer.
    let factor = f64::from(width.div_ceil(u32::from(w)).next_power_of_two());
    let covered = (f64::from(width) / factor, f64::from(height) / factor);
    let small = smaller(&reduced.convert(PixelFormat::Rgb8), covered, (width, height), side)?;
    let pixels = compressed(bytes) ^ u64::from(orientation.to_exif());
    let turned = matches!(orientation.to_exif(), 5..=8);
    let (width, height) = if turned { (height, width) } else { (width, height) };
    Ok(Some(Small { image: upright(small, orientation), width, height, pixels }))
}

fn upright(image: Image, orientation: Orientation) -> Image {
    if orientation == Orientation::NoTransforms {
        return image;
    }
    match image::RgbImage::from_raw(image.width, image.height, image.pixels.to_vec()).map(DynamicImage::from) {
        Some(mut picture) => {
            picture.apply_orientation(orientation);
            super::decode::from_dynamic(picture)
        }
        None => image,
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

/// Hash of what the pixels are made of: all segments but comments and the applications' own, save Adobe's, which says
/// what the colours are.
fn compressed(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |part: &[u8]| hash = quick_hash(part) ^ hash.rotate_left(23);
    let mut at = 2;
    while let (Some(&0xff), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) {
        let length = match (bytes.get(at + 2), bytes.get(at + 3)) {
            (Some(hi), Some(lo)) => usize::from(u16::from_be_bytes([*hi, *lo])),
            _ => break,
        };
        if marker == 0xff {
            at += 1;
            continue;
        }
        if marker == 0xda {
            take(&bytes[at..]);
            break;
        }
        let end = (at + 2 + length).min(bytes.len());
        if !matches!(marker, 0xe0..=0xed | 0xef | 0xfe) {
            take(&bytes[at..end]);
        }
        at = end;
    }
    hash
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
    fn a_small_jpeg_is_the_large_one_made_smaller() {
        for (picture, most) in [(gradient(800, 600), 4), (noise(800, 601, 3), 9), (gradient(801, 403), 4)] {
            let bytes = picture.encode(Codec::Jpeg, 92).unwrap();
            let small = Small::decode(&bytes, &LIMITS, 200).unwrap();
            assert_eq!((small.width, small.height), (picture.width, picture.height));
            let (w, h) = (small.image.width, small.image.height);
            assert_eq!(w.max(h), 200);
            let (whole, found) = (area(&Image::decode(&bytes, &LIMITS).unwrap(), w, h), &small.image);
            let far: Vec<u8> = whole.pixels.iter().zip(&*found.pixels).map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = far.iter().map(|v| f64::from(*v)).sum::<f64>() / far.len() as f64;
            let worst = far.into_iter().max().unwrap();
            assert!(mean < 1.0 && worst <= most, "mean {mean}, worst {worst}");
        }
    }

    #[test]
    fn other_files_and_small_ones_are_decoded_whole() {
        let picture = gradient(800, 600);
        for (bytes, side) in
            [(picture.encode(Codec::Png, 0).unwrap(), 100), (picture.encode(Codec::Jpeg, 90).unwrap(), 500)]
        {
            let small = Small::decode(&bytes, &LIMITS, side).unwrap();
            let whole = Small::of(&Image::decode(&bytes, &LIMITS).unwrap(), side).unwrap();
            assert_eq!((small.image, small.pixels), (whole.image, whole.pixels));
        }
        let jpeg = picture.encode(Codec::Jpeg, 90).unwrap();
        assert!(Small::decode(&jpeg[..jpeg.len() / 2], &LIMITS, 100).is_err());
        let tight = Small::decode(&jpeg, &DecodeLimits { max_pixels: 1000 }, 100).unwrap_err();
        assert!(matches!(tight, ImageError::TooLarge { width: 800, .. }), "{tight}");
    }

    #[test]
    fn it_stands_upright_and_comments_do_not_count() {
        let jpeg = gradient(640, 320).encode(Codec::Jpeg, 90).unwrap();
        let with = |segment: &[u8]| [&jpeg[..2], segment, &jpeg[2..]].concat();
        let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let look = |bytes: &[u8]| Small::decode(bytes, &LIMITS, 80).unwrap();
        let (plain, turned, commented) = (look(&jpeg), look(&with(exif)), look(&with(b"\xff\xfe\x00\x06text")));
        assert_eq!((turned.width, turned.height, turned.image.width, turned.image.height), (320, 640, 40, 80));
        assert_eq!(plain.pixels, commented.pixels);
        assert_ne!(plain.pixels, turned.pixels);
        let other = look(&gradient(640, 320).encode(Codec::Jpeg, 89).unwrap());
        assert_ne!(plain.pixels, other.pixels);
    }
}

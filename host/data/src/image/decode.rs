//! From the bytes of an image file to pixels, with limits that hold before memory is taken.

use super::{Image, ImageError, PixelFormat, text};
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

/// What a picture may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Largest width × height.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: 64_000_000 }
    }
}

/// Width and height of an image file from its header, after the EXIF orientation.
///
/// # Errors
/// The file cannot be read or is no image.
pub fn read_size(path: &Path) -> Result<(u32, u32), ImageError> {
    let read = || {
        let reader = ImageReader::open(path)?.with_guessed_format()?;
        let mut decoder = reader.into_decoder().map_err(map_error)?;
        let (w, h) = decoder.dimensions();
        let turned = decoder.orientation().is_ok_and(|o| matches!(o.to_exif(), 5..=8));
        Ok(if turned { (h, w) } else { (w, h) })
    };
    read().map_err(|source| ImageError::File { path: path.display().to_string(), source: Box::new(source) })
}

pub(super) fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Image, ImageError> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let Some(format) = reader.format() else {
        return Err(ImageError::Unsupported(unknown(bytes)));
    };
    if format == ImageFormat::Jpeg {
        jpeg_is_whole(bytes)?;
    }
    let mut decoder = reader.into_decoder().map_err(map_error)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(ImageError::TooLarge { width, height, limit: limits.max_pixels });
    }
    let mut memory = image::Limits::default();
    memory.max_alloc = Some(limits.max_pixels.saturating_mul(16).max(64 << 20));
    decoder.set_limits(memory).map_err(map_error)?;
    let orientation = decoder.orientation().map_err(map_error)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(map_error)?;
    picture.apply_orientation(orientation);

    let mut metadata = if format == ImageFormat::Png { text::read(bytes) } else { BTreeMap::new() };
    if is_animated(bytes, format) {
        metadata.insert("animated".into(), "only the first frame was read".into());
    }
    Ok(Image { metadata: Arc::new(metadata), ..from_dynamic(picture) })
}

fn from_dynamic(picture: DynamicImage) -> Image {
    let (width, height) = (picture.width(), picture.height());
    let color = picture.color();
    let (format, pixels) = if color.has_alpha() {
        (PixelFormat::Rgba8, picture.into_rgba8().into_raw())
    } else if color.has_color() {
        (PixelFormat::Rgb8, picture.into_rgb8().into_raw())
    } else {
        (PixelFormat::L8, picture.into_luma8().into_raw())
    };
    Image { width, height, format, pixels: pixels.into(), metadata: Arc::default() }
}

fn map_error(e: image::ImageError) -> ImageError {
    use image::ImageError as E;
    match e {
        E::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::Damaged("the file ends early".into())
        }
        E::IoError(e) => ImageError::Damaged(e.to_string()),
        E::Unsupported(e) => ImageError::Unsupported(e.to_string()),
        E::Limits(e) => ImageError::Damaged(format!("takes more memory than its size allows ({e})")),
        e => ImageError::Damaged(e.to_string()),
    }
}

fn unknown(bytes: &[u8]) -> String {
    let found = match bytes {
        [] => "an empty file".to_owned(),
        b if b.trim_ascii_start().starts_with(b"<") => "HTML or XML text".to_owned(),
        b => {
            let start: Vec<String> = b.iter().take(8).map(|b| format!("{b:02x}")).collect();
            format!("bytes {}", start.join(" "))
        }
    };
    format!("expected a PNG, JPEG, WebP, GIF, BMP or TIFF image, found {found}")
}

/// The decoder fills what is missing of a cut-off JPEG with grey, so its end is looked for first.
fn jpeg_is_whole(bytes: &[u8]) -> Result<(), ImageError> {
    let cut = || ImageError::Damaged("the JPEG ends early".into());
    let mut at = 2;
    loop {
        // Any number of 0xFF may stand before a marker.
        while bytes.get(at) == Some(&0xff) && bytes.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        let (Some(&0xff), Some(&marker)) = (bytes.get(at), bytes.get(at + 1)) else {
            return Err(cut());
        };
        at += 2;
        match marker {
            0xd9 => return Ok(()),
            0x01 | 0xd0..=0xd8 => continue,
            _ => {}
        }
        let (Some(&hi), Some(&lo)) = (bytes.get(at), bytes.get(at + 1)) else {
            return Err(cut());
        };
        at += usize::from(u16::from_be_bytes([hi, lo]));
        if marker == 0xda {
            // Entropy-coded data: 0xFF is followed by 0x00 or a restart marker until the next real marker.
            loop {
                let rest = bytes.get(at..).unwrap_or_default();
                at += rest.iter().position(|b| *b == 0xff).ok_or_else(cut)?;
                match bytes.get(at + 1) {
                    Some(0x00 | 0xd0..=0xd7) => at += 2,
                    Some(0xff) => at += 1,
                    Some(_) => break,
                    None => return Err(cut()),
                }
            }
        }
    }
}

fn is_animated(bytes: &[u8], format: ImageFormat) -> bool {
    let source = Cursor::new(bytes);
    match format {
        ImageFormat::Gif => {
            image::codecs::gif::GifDecoder::new(source).is_ok_and(|d| d.into_frames().take(2).flatten().count() > 1)
        }
        ImageFormat::WebP => image::codecs::webp::WebPDecoder::new(source).is_ok_and(|d| d.has_animation()),
        ImageFormat::Png => image::codecs::png::PngDecoder::new(source).is_ok_and(|d| d.is_apng().unwrap_or_default()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Codec;
    use crate::testing::gradient;

    const LIMITS: DecodeLimits = DecodeLimits { max_pixels: 64_000_000 };

    /// A PNG that promises `width` × `height` pixels and holds none.
    fn png_header(width: u32, height: u32) -> Vec<u8> {
        let mut png = gradient(1, 1).encode(Codec::Png, 0).unwrap();
        png[16..20].copy_from_slice(&width.to_be_bytes());
        png[20..24].copy_from_slice(&height.to_be_bytes());
        let crc = text::crc32(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        png
    }

    #[test]
    fn reads_what_it_wrote() {
        let img = gradient(40, 30);
        for codec in [Codec::Png, Codec::Webp] {
            let back = Image::decode(&img.encode(codec, 90).unwrap(), &LIMITS).unwrap();
            assert_eq!(back.pixels, img.pixels, "{codec:?}");
        }
        let back = Image::decode(&img.encode(Codec::Jpeg, 95).unwrap(), &LIMITS).unwrap();
        let far = back.pixels.iter().zip(img.pixels.iter()).filter(|(a, b)| a.abs_diff(**b) > 12).count();
        assert_eq!(far, 0);
    }

    #[test]
    fn a_huge_header_is_refused_before_memory_is_taken() {
        let e = Image::decode(&png_header(60_000, 60_000), &LIMITS).unwrap_err();
        assert!(matches!(e, ImageError::TooLarge { width: 60_000, .. }), "{e}");
        assert_eq!(e.to_string(), "too large: 60000×60000 is 3600.0 megapixels, the limit is 64.0");
    }

    #[test]
    fn zero_sizes_and_other_files_are_refused() {
        assert!(Image::decode(&png_header(0, 7), &LIMITS).is_err());
        let html = Image::decode(b"  <html>", &LIMITS).unwrap_err();
        assert!(html.to_string().ends_with("found HTML or XML text"), "{html}");
        assert!(Image::decode(b"", &LIMITS).unwrap_err().to_string().ends_with("found an empty file"));
    }

    #[test]
    fn cut_off_files_are_errors_everywhere() {
        let img = gradient(64, 64);
        for codec in [Codec::Png, Codec::Jpeg, Codec::Webp] {
            let whole = img.encode(codec, 90).unwrap();
            for part in [10, 50, 90] {
                let cut = &whole[..whole.len() * part / 100];
                assert!(Image::decode(cut, &LIMITS).is_err(), "{codec:?} at {part} %");
            }
        }
    }

    #[test]
    fn errors_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken.jpg");
        let whole = gradient(64, 64).encode(Codec::Jpeg, 90).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let e = Image::open(&path, &LIMITS).unwrap_err();
        assert!(e.to_string().ends_with("broken.jpg: damaged: the JPEG ends early"), "{e}");
    }

    #[test]
    fn the_exif_orientation_is_applied() {
        let jpeg = gradient(32, 16).encode(Codec::Jpeg, 95).unwrap();
        // An APP1 segment with one entry: orientation 6, turn 90° clockwise.
        let mut exif =
            b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
        let mut turned = jpeg[..2].to_vec();
        turned.append(&mut exif);
        turned.extend_from_slice(&jpeg[2..]);
        let img = Image::decode(&turned, &LIMITS).unwrap();
        assert_eq!((img.width, img.height), (16, 32));
    }

    #[test]
    fn of_an_animation_the_first_frame_is_taken_and_noted() {
        let frame = |v: u8| image::Frame::new(image::RgbaImage::from_pixel(4, 4, image::Rgba([v, v, v, 255])));
        let mut gif = Vec::new();
        let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
        encoder.encode_frames([frame(0), frame(255)]).unwrap();
        drop(encoder);
        let img = Image::decode(&gif, &LIMITS).unwrap();
        assert!(img.metadata.contains_key("animated"));
        assert_eq!(&img.pixels[..3], [0, 0, 0]);
    }
}

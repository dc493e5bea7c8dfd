//! Pictures made smaller or other for clients.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Larger pictures are not decoded for clients.
const MAX_SIDE: u32 = 16_384;
const MAX_BYTES: u64 = 1 << 30;

/// A preview of at most this size. What cannot be read goes out as it is.
pub(crate) fn preview(bytes: &[u8], side: u32) -> Vec<u8> {
    let small = || -> Option<Vec<u8>> {
        let reader = reader(bytes)?;
        let (width, height) = reader.into_dimensions().ok()?;
        if width <= side && height <= side {
            return None;
        }
        let picture = decode(bytes)?.resize(side, side, FilterType::Triangle);
        jpeg(&picture, 80)
    };
    small().unwrap_or_else(|| bytes.to_vec())
}

/// A picture in another format. None if it is no picture.
pub(crate) fn convert(bytes: &[u8], format: &str, quality: u8) -> Option<(Vec<u8>, &'static str)> {
    let picture = decode(bytes)?;
    if format == "jpeg" {
        return Some((jpeg(&picture, quality)?, "image/jpeg"));
    }
    let mut out = Cursor::new(Vec::new());
    let picture =
        if picture.color().has_alpha() { picture.to_rgba8().into() } else { DynamicImage::from(picture.to_rgb8()) };
    picture.write_to(&mut out, ImageFormat::WebP).ok()?;
    Some((out.into_inner(), "image/webp"))
}

/// The picture as PNG without its alpha (`rgb`), or its alpha alone (`a`). None if it is no picture.
pub(crate) fn channel(bytes: &[u8], channel: &str) -> Option<Vec<u8>> {
    let mut picture = decode(bytes)?.to_rgba8();
    if channel == "a" {
        for pixel in picture.pixels_mut() {
            pixel.0 = [0, 0, 0, pixel.0[3]];
        }
        return png(&picture.into());
    }
    png(&DynamicImage::from(DynamicImage::from(picture).to_rgb8()))
}

/// The colours of one picture with the alpha of another, as PNG.
pub(crate) fn with_alpha_of(colours: &[u8], alpha: &[u8]) -> Option<Vec<u8>> {
    let (mut picture, mask) = (decode(colours)?.to_rgba8(), decode(alpha)?.to_rgba8());
    let mask = if mask.dimensions() == picture.dimensions() {
        mask
    } else {
        DynamicImage::from(mask).resize_exact(picture.width(), picture.height(), FilterType::Triangle).to_rgba8()
    };
    for (pixel, of_mask) in picture.pixels_mut().zip(mask.pixels()) {
        pixel.0[3] = of_mask.0[3];
    }
    png(&picture.into())
}

fn reader(bytes: &[u8]) -> Option<ImageReader<Cursor<&[u8]>>> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    Some(reader)
}

fn decode(bytes: &[u8]) -> Option<DynamicImage> {
    reader(bytes)?.decode().ok()
}

fn jpeg(picture: &DynamicImage, quality: u8) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100));
    picture.to_rgb8().write_with_encoder(encoder).ok()?;
    Some(out)
}

fn png(picture: &DynamicImage) -> Option<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).ok()?;
    Some(out.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgba, RgbaImage};

    fn picture(width: u32, height: u32, pixel: [u8; 4]) -> Vec<u8> {
        png(&RgbaImage::from_pixel(width, height, Rgba(pixel)).into()).unwrap()
    }

    #[test]
    fn previews_are_made_small_and_small_ones_stay() {
        let large = picture(1024, 256, [9, 9, 9, 255]);
        let small = decode(&preview(&large, 512)).unwrap();
        assert_eq!((small.width(), small.height()), (512, 128));
        let tiny = picture(8, 8, [1, 2, 3, 255]);
        assert_eq!(preview(&tiny, 512), tiny);
        assert_eq!(preview(b"no picture", 512), b"no picture");
    }

    #[test]
    fn channels_come_apart_and_together() {
        let source = picture(4, 4, [10, 20, 30, 40]);
        assert_eq!(decode(&channel(&source, "rgb").unwrap()).unwrap().to_rgba8()[(0, 0)].0, [10, 20, 30, 255]);
        assert_eq!(decode(&channel(&source, "a").unwrap()).unwrap().to_rgba8()[(0, 0)].0, [0, 0, 0, 40]);
        let joined = with_alpha_of(&picture(4, 4, [1, 2, 3, 255]), &source).unwrap();
        assert_eq!(decode(&joined).unwrap().to_rgba8()[(3, 3)].0, [1, 2, 3, 40]);
    }

    #[test]
    fn other_formats_are_what_they_say() {
        let source = picture(4, 4, [10, 20, 30, 255]);
        let (webp, mime) = convert(&source, "webp", 75).unwrap();
        assert_eq!((&webp[8..12], mime), (&b"WEBP"[..], "image/webp"));
        assert_eq!(convert(&source, "jpeg", 75).unwrap().0[..2], [0xFF, 0xD8]);
        assert!(convert(b"x", "jpeg", 75).is_none());
    }
}

//! From pixels to the bytes of an image file.

use super::{Image, ImageError, PixelFormat, text};
use image::{ExtendedColorType, ImageEncoder};

/// A file format to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Png,
    Jpeg,
    /// Lossless.
    Webp,
}

pub(super) fn encode(img: &Image, codec: Codec, quality: u8) -> Result<Vec<u8>, ImageError> {
    let color = |format| match format {
        PixelFormat::L8 => ExtendedColorType::L8,
        PixelFormat::Rgb8 => ExtendedColorType::Rgb8,
        PixelFormat::Rgba8 => ExtendedColorType::Rgba8,
    };
    let mut out = Vec::new();
    let done = match codec {
        Codec::Png => image::codecs::png::PngEncoder::new(&mut out).write_image(
            &img.pixels,
            img.width,
            img.height,
            color(img.format),
        ),
        Codec::Jpeg => {
            // JPEG has no alpha.
            let flat = if img.format == PixelFormat::Rgba8 { img.convert(PixelFormat::Rgb8) } else { img.clone() };
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100)).write_image(
                &flat.pixels,
                flat.width,
                flat.height,
                color(flat.format),
            )
        }
        Codec::Webp => image::codecs::webp::WebPEncoder::new_lossless(&mut out).write_image(
            &img.pixels,
            img.width,
            img.height,
            color(img.format),
        ),
    };
    done.map_err(|e| ImageError::Invalid(format!("cannot write {codec:?}: {e}")))?;
    Ok(if codec == Codec::Png { text::insert(out, &img.metadata) } else { out })
}

pub(super) fn encode_png16(img: &Image, values: &[u16]) -> Result<Vec<u8>, ImageError> {
    let color = match img.format {
        PixelFormat::L8 => ExtendedColorType::L16,
        PixelFormat::Rgb8 => ExtendedColorType::Rgb16,
        PixelFormat::Rgba8 => ExtendedColorType::Rgba16,
    };
    if values.len() != img.pixels.len() {
        let message = format!("cannot write PNG: expected {} values, found {}", img.pixels.len(), values.len());
        return Err(ImageError::Invalid(message));
    }
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_ne_bytes()).collect();
    let mut out = Vec::new();
    let done = image::codecs::png::PngEncoder::new(&mut out).write_image(&bytes, img.width, img.height, color);
    done.map_err(|e| ImageError::Invalid(format!("cannot write PNG: {e}")))?;
    Ok(text::insert(out, &img.metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_come_back_with_the_texts() {
        let img = Image::new(2, 1, PixelFormat::Rgb8, vec![0; 6]).unwrap().with_metadata("prompt", "{}".to_owned());
        let values = [0, 1, 255, 256, 65534, 65535];
        let png = encode_png16(&img, &values).unwrap();
        assert_eq!(text::read(&png)["prompt"], "{}");
        let back = image::load_from_memory(&png).unwrap();
        assert_eq!(back.as_rgb16().unwrap().as_raw()[..], values);
        assert!(encode_png16(&img, &values[1..]).is_err());
    }
}

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

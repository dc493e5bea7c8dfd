//! Host-owned images: decoded, changed and turned into tensors without the plugin copying a pixel.

use super::{Held, Services, refuse};
use crate::error::Fault;
use data::{Array, Codec, DecodeLimits, Image, ImageError, PixelFormat, Rect, ResizeSpec, TensorSpec};
use spec::{ErrorKind, PluginError};

impl Services {
    /// An image that the host holds anyway, such as one of the batch.
    pub(crate) fn lend_image(&self, image: Image) -> Result<Held<Image>, PluginError> {
        Held::lent(&self.budget, image)
    }

    pub(crate) fn decode(&self, bytes: Vec<u8>) -> Result<Result<Held<Image>, PluginError>, Fault> {
        // The budget bounds the picture before it is allocated: four bytes a pixel at most.
        let default = DecodeLimits::default();
        let limits = DecodeLimits { max_pixels: default.max_pixels.min(self.limits.host_bytes / 4) };
        let image = self.blocking(move || Image::decode(&bytes, &limits))?;
        Ok(image.map_err(|e| failed(&e)).and_then(|image| {
            let bytes = image.pixels.len() as u64;
            Held::make(&self.budget, bytes, || Ok(image))
        }))
    }

    pub(crate) fn image_from_pixels(
        &self,
        width: u32,
        height: u32,
        format: PixelFormat,
        pixels: Vec<u8>,
    ) -> Result<Held<Image>, PluginError> {
        let bytes = pixels.len() as u64;
        Held::make(&self.budget, bytes, || Image::new(width, height, format, pixels).map_err(|e| failed(&e)))
    }

    pub(crate) fn resize(&self, image: &Image, spec: &ResizeSpec) -> Result<Held<Image>, PluginError> {
        let bytes = area(spec.width, spec.height) * image.format.channels() as u64;
        Held::make(&self.budget, bytes, || image.resize(spec).map_err(|e| failed(&e)))
    }

    pub(crate) fn crop(&self, image: &Image, rect: Rect) -> Result<Held<Image>, PluginError> {
        let bytes = area(rect.width, rect.height) * image.format.channels() as u64;
        Held::make(&self.budget, bytes, || image.crop(rect).map_err(|e| failed(&e)))
    }

    pub(crate) fn convert(&self, held: &Held<Image>, format: PixelFormat) -> Result<Held<Image>, PluginError> {
        let image = &held.value;
        if format == image.format {
            return held.share(image.clone());
        }
        let bytes = area(image.width, image.height) * format.channels() as u64;
        Held::make(&self.budget, bytes, || Ok(image.convert(format)))
    }

    pub(crate) fn to_tensor(&self, image: &Image, spec: &TensorSpec) -> Result<Held<Array>, PluginError> {
        let (width, height) = spec.resize.map_or((image.width, image.height), |r| (r.width, r.height));
        let bytes = area(width, height).saturating_mul(3 * spec.dtype.size() as u64);
        Held::make(&self.budget, bytes, || image.to_array(spec).map_err(|e| failed(&e)))
    }

    /// Pixels of the whole image or a part of it, in `format`.
    pub(crate) fn read_pixels(
        &self,
        image: &Image,
        rect: Option<Rect>,
        format: PixelFormat,
    ) -> Result<Image, PluginError> {
        let image = match rect {
            Some(rect) => image.crop(rect).map_err(|e| failed(&e))?,
            None => image.clone(),
        };
        let bytes = area(image.width, image.height) * format.channels() as u64;
        if bytes > self.limits.host_bytes {
            return refuse(ErrorKind::TooLarge, format!("{bytes} bytes of pixels; read the image in parts"));
        }
        Ok(image.convert(format))
    }

    pub(crate) fn encode(&self, image: &Image, codec: Codec, quality: u8) -> Result<Vec<u8>, PluginError> {
        image.encode(codec, quality).map_err(|e| failed(&e))
    }

    /// Reads and decodes a file of a granted folder.
    pub(crate) fn read_image(&self, root: &str, path: &str) -> Result<Result<Held<Image>, PluginError>, Fault> {
        let bytes = match self.read_file(root, path, self.limits.transfer) {
            Ok(bytes) => bytes,
            Err(e) => return Ok(Err(e)),
        };
        let mut result = self.decode(bytes)?;
        if let Err(e) = &mut result {
            e.message = format!("{root}:{path}: {}", e.message);
        }
        Ok(result)
    }
}

fn area(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

fn failed(error: &ImageError) -> PluginError {
    let kind = match error.leaf() {
        ImageError::TooLarge { .. } => ErrorKind::TooLarge,
        ImageError::Unsupported(_) => ErrorKind::Unsupported,
        ImageError::Io(_) => ErrorKind::Unavailable,
        _ => ErrorKind::InvalidInput,
    };
    PluginError::new(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::tests::services;
    use data::{Dtype, Filter, Fit};

    #[test]
    fn the_budget_holds_before_anything_is_allocated() {
        let dir = tempfile::tempdir().unwrap();
        let mut s = services(&Default::default(), &Default::default(), Default::default(), dir.path());
        s.limits.host_bytes = 1000;
        s.budget = crate::services::Budget::new(1000, 10);
        let image = s.image_from_pixels(4, 4, PixelFormat::Rgb8, vec![7; 48]).unwrap();
        let huge =
            ResizeSpec { width: 60_000, height: 60_000, fit: Fit::Stretch, filter: Filter::Nearest, pad_color: 0 };
        assert_eq!(s.resize(&image.value, &huge).err().unwrap().kind, ErrorKind::TooLarge);
        let spec = TensorSpec {
            resize: Some(huge),
            layout: data::Layout::Nhwc,
            order: data::ChannelOrder::Bgr,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            dtype: Dtype::F32,
        };
        assert_eq!(s.to_tensor(&image.value, &spec).err().unwrap().kind, ErrorKind::TooLarge);
        let png = data::Image::new(40, 40, PixelFormat::L8, vec![0; 1600]).unwrap().encode(Codec::Png, 0).unwrap();
        assert_eq!(s.decode(png).unwrap().err().unwrap().kind, ErrorKind::TooLarge);
        assert!(s.image_from_pixels(4, 4, PixelFormat::Rgb8, vec![7; 47]).is_err());
        assert_eq!(s.decode(b"no image".to_vec()).unwrap().err().unwrap().kind, ErrorKind::Unsupported);
    }
}

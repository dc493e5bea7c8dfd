//! From pixels to the numbers a network wants.

use super::{Image, ImageError, PixelFormat, ResizeSpec};
use crate::{Array, ArrayData, Dtype};

/// Order of the dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// (1, 3, h, w)
    Nchw,
    /// (1, h, w, 3)
    Nhwc,
}

/// Order of the channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelOrder {
    Rgb,
    Bgr,
}

/// How a picture becomes an array: value = (pixel · scale − mean\[c\]) / std\[c\], pixel 0…255, `c` counted in the
/// array's channel order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorSpec {
    pub resize: Option<ResizeSpec>,
    pub layout: Layout,
    pub order: ChannelOrder,
    pub scale: f32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub dtype: Dtype,
}

pub(super) fn to_array(img: &Image, spec: &TensorSpec) -> Result<Array, ImageError> {
    if spec.std.contains(&0.0) {
        return Err(ImageError::Invalid(format!("expected std above zero, found {:?}", spec.std)));
    }
    // Padding belongs to the opaque picture, so transparency is resolved first.
    let rgb = img.convert(PixelFormat::Rgb8);
    let rgb = match &spec.resize {
        Some(resize) => rgb.resize(resize)?,
        None => rgb,
    };
    let (w, h) = (rgb.width as usize, rgb.height as usize);
    let channel = |c: usize| match spec.order {
        ChannelOrder::Rgb => c,
        ChannelOrder::Bgr => 2 - c,
    };
    let value = |pixel: &[u8], c: usize| (f32::from(pixel[channel(c)]) * spec.scale - spec.mean[c]) / spec.std[c];
    let mut values = Vec::with_capacity(3 * w * h);
    let shape = match spec.layout {
        Layout::Nchw => {
            for c in 0..3 {
                values.extend(rgb.pixels.chunks_exact(3).map(|p| value(p, c)));
            }
            vec![1, 3, h, w]
        }
        Layout::Nhwc => {
            for pixel in rgb.pixels.chunks_exact(3) {
                values.extend([0, 1, 2].map(|c| value(pixel, c)));
            }
            vec![1, h, w, 3]
        }
    };
    Ok(Array { shape, data: ArrayData::F32(values.into()) }.cast(spec.dtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out_channels_as_asked() {
        let img = Image::new(2, 1, PixelFormat::Rgb8, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let mut spec = TensorSpec {
            resize: None,
            layout: Layout::Nchw,
            order: ChannelOrder::Rgb,
            scale: 1.0,
            mean: [0.0, 0.0, 1.0],
            std: [1.0, 1.0, 2.0],
            dtype: Dtype::F32,
        };
        let a = img.to_array(&spec).unwrap();
        assert_eq!(a.shape, [1, 3, 1, 2]);
        assert_eq!(a.to_f32().as_ref(), [1.0, 4.0, 2.0, 5.0, 1.0, 2.5]);
        spec.layout = Layout::Nhwc;
        spec.order = ChannelOrder::Bgr;
        let a = img.to_array(&spec).unwrap();
        assert_eq!(a.shape, [1, 1, 2, 3]);
        assert_eq!(a.to_f32().as_ref(), [3.0, 2.0, 0.0, 6.0, 5.0, 1.5]);
    }
}

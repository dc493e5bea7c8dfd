//! Images that the host owns. Decoding, resizing and normalising happen there.

use crate::host::with_host;
use crate::{Dtype, Result, Tensor};
use serde::{Deserialize, Serialize};
use spec::ObjectType;

coded_enum! {
    /// Bytes of a pixel: grey, red-green-blue, or with opacity.
    PixelFormat { L8, Rgb8, Rgba8 }
}
coded_enum! {
    /// How pixels are mixed when the size changes; all but `Nearest` and `Area` as in PIL, with antialiasing.
    Filter { Nearest, Triangle, CatmullRom, Lanczos3, Area }
}
coded_enum! {
    /// What to do when the aspect ratios differ: `Stretch` ignores it, `Cover` crops the centre, `Pad` fills the rest
    /// with a colour, `Contain` keeps the smaller size.
    Fit { Stretch, Cover, Pad, Contain }
}
coded_enum! {
    /// Order of the dimensions (a batch of one comes first).
    Layout { Nchw, Nhwc }
}
coded_enum! {
    /// Order of the colours.
    ChannelOrder { Rgb, Bgr }
}
coded_enum! {
    /// File format to encode to.
    Codec { Png, Jpeg, Webp }
}
coded_enum! {
    /// Which perceptual hash: average, difference, or cosine transform.
    Perceptual { Ahash, Dhash, Phash }
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

/// A rectangle in pixels; y grows downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A new size, and how to get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeSpec {
    pub width: u32,
    pub height: u32,
    pub fit: Fit,
    pub filter: Filter,
    /// 0xRRGGBB, for [`Fit::Pad`].
    pub pad_color: u32,
}

impl ResizeSpec {
    /// Stretches to a size with an antialiased bicubic filter.
    pub fn stretch(width: u32, height: u32) -> Self {
        Self { width, height, fit: Fit::Stretch, filter: Filter::CatmullRom, pad_color: 0 }
    }
}

/// How pixels become numbers: value = (pixel · scale − mean) / std, with pixels from 0 to 255 and means and deviations
/// by channel **in `order`**.
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

impl Default for TensorSpec {
    /// (1, 3, h, w), red-green-blue, 0 to 1, f32.
    fn default() -> Self {
        Self {
            resize: None,
            layout: Layout::Nchw,
            order: ChannelOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            dtype: Dtype::Float32,
        }
    }
}

/// An image in the host.
///
/// ```
/// use plugin_sdk::{Image, PixelFormat, Rect};
///
/// let _host = plugin_test::FakeHost::new().install();
/// let image = Image::from_pixels(2, 1, PixelFormat::Rgb8, &[255, 0, 0, 0, 0, 255])?;
/// let right = image.crop(Rect { x: 1, y: 0, width: 1, height: 1 })?;
/// assert_eq!(right.read(PixelFormat::Rgb8)?, [0, 0, 255]);
/// # Ok::<(), plugin_sdk::Error>(())
/// ```
#[derive(Debug)]
pub struct Image(u64);

#[allow(clippy::missing_errors_doc)] // each says so: sizes that do not fit, or the host's memory limit
impl Image {
    /// Decodes the bytes of an image file.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        with_host(|h| h.image_decode(bytes)).map(Self)
    }

    /// Copies pixels, rows from top to bottom, into a new image.
    pub fn from_pixels(width: u32, height: u32, format: PixelFormat, pixels: &[u8]) -> Result<Self> {
        with_host(|h| h.image_from_pixels(width, height, format, pixels)).map(Self)
    }

    /// In pixels.
    pub fn width(&self) -> u32 {
        with_host(|h| h.image_width(self.0))
    }

    /// In pixels.
    pub fn height(&self) -> u32 {
        with_host(|h| h.image_height(self.0))
    }

    /// As stored.
    pub fn format(&self) -> PixelFormat {
        with_host(|h| h.image_format(self.0))
    }

    /// `sha256:…` of size, format and pixels: equal pictures have equal digests, whatever file they came from.
    pub fn digest(&self) -> String {
        with_host(|h| h.image_digest(self.0))
    }

    /// 64 bits of which similar pictures share most.
    pub fn perceptual_hash(&self, kind: Perceptual) -> u64 {
        with_host(|h| h.image_perceptual_hash(self.0, kind))
    }

    /// A text that the file carried: a PNG text chunk or an EXIF field.
    pub fn metadata(&self, key: &str) -> Option<String> {
        with_host(|h| h.image_metadata(self.0, key))
    }

    /// Copies all pixels out, rows from top to bottom without gaps.
    pub fn read(&self, format: PixelFormat) -> Result<Vec<u8>> {
        with_host(|h| h.image_read(self.0, None, format))
    }

    /// Copies the pixels of a part out.
    pub fn read_area(&self, area: Rect, format: PixelFormat) -> Result<Vec<u8>> {
        with_host(|h| h.image_read(self.0, Some(area), format))
    }

    /// Looks at all pixels; without a copy in a native plugin.
    pub fn with_pixels<R>(&self, format: PixelFormat, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let (mut look, mut result) = (Some(look), None);
        with_host(|h| {
            h.image_view(self.0, format, &mut |pixels| {
                if let Some(look) = look.take() {
                    result = Some(look(pixels));
                }
            })
        })?;
        result.ok_or_else(|| crate::Error::internal("the host lent no pixels"))
    }

    /// A copy of another size.
    pub fn resize(&self, spec: &ResizeSpec) -> Result<Self> {
        with_host(|h| h.image_resize(self.0, spec)).map(Self)
    }

    /// A copy of a part.
    pub fn crop(&self, area: Rect) -> Result<Self> {
        with_host(|h| h.image_crop(self.0, area)).map(Self)
    }

    /// A copy in another format. Opacity is dropped, not blended.
    pub fn convert(&self, format: PixelFormat) -> Result<Self> {
        with_host(|h| h.image_convert(self.0, format)).map(Self)
    }

    /// Pixels as numbers, (1, 3, h, w) or (1, h, w, 3).
    pub fn to_tensor(&self, spec: &TensorSpec) -> Result<Tensor> {
        with_host(|h| h.image_to_tensor(self.0, spec)).map(Tensor::from_raw)
    }

    /// The bytes of a file; `quality` 1 to 100 is for jpeg.
    pub fn encode(&self, codec: Codec, quality: u8) -> Result<Vec<u8>> {
        with_host(|h| h.image_encode(self.0, codec, quality))
    }

    /// A second handle on the same pixels.
    pub fn share(&self) -> Result<Self> {
        with_host(|h| h.image_share(self.0)).map(Self)
    }
}

owned_handle!(Image, image_drop);

impl ObjectType for Image {
    const SOCKET: &'static str = "IMAGE";
}

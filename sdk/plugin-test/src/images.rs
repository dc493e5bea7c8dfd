//! Pictures in memory, handled as simply as possible.

use crate::tensors::Array;
use plugin_sdk::{
    ChannelOrder, Dtype, Error, Fit, Image, Layout, Perceptual, PixelFormat, Rect, ResizeSpec, Result, TensorSpec,
};

/// An image from red-green-blue bytes; a pretend host must be installed.
///
/// # Errors
/// The number of bytes is not width · height · 3.
pub fn image_from_rgb(width: u32, height: u32, pixels: &[u8]) -> Result<Image> {
    Image::from_pixels(width, height, PixelFormat::Rgb8, pixels)
}

const MAGIC: &[u8] = b"PIXELS";

/// The bytes of an image file in the only format that the pretend host decodes: for files and pages in tests.
pub fn encode(width: u32, height: u32, rgb: &[u8]) -> Vec<u8> {
    [MAGIC, &width.to_le_bytes(), &height.to_le_bytes(), rgb].concat()
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) format: PixelFormat,
    pub(crate) pixels: Vec<u8>,
}

impl Picture {
    pub(crate) fn new(width: u32, height: u32, format: PixelFormat, pixels: Vec<u8>) -> Result<Self> {
        let expected = width as usize * height as usize * format.channels();
        if width == 0 || height == 0 || pixels.len() != expected {
            let found = pixels.len();
            let message = format!("{width}×{height} {format:?}: expected {expected} bytes, found {found}");
            return Err(Error::invalid_input(message));
        }
        Ok(Self { width, height, format, pixels })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let number = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        match bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(8)) {
            Some((size, rgb)) => Self::new(number(size), number(&size[4..]), PixelFormat::Rgb8, rgb.to_vec()),
            None => Err(Error::invalid_input("not an image that the pretend host can read; see `plugin_test::encode`")),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(self.width, self.height, &self.convert(PixelFormat::Rgb8).pixels)
    }

    /// FNV-1a: enough to tell test pictures apart.
    pub(crate) fn digest(&self) -> String {
        let head = [self.width.to_le_bytes(), self.height.to_le_bytes(), self.format.code().to_le_bytes()].concat();
        let step = |h: u64, &b: &u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
        format!("fake:{:016x}", head.iter().chain(&self.pixels).fold(0xcbf2_9ce4_8422_2325, step))
    }

    fn rgb(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (y as usize * self.width as usize + x as usize) * self.format.channels();
        match self.format {
            PixelFormat::L8 => [self.pixels[at]; 3],
            _ => [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]],
        }
    }

    fn alpha(&self, x: u32, y: u32) -> u8 {
        let at = (y as usize * self.width as usize + x as usize) * 4;
        if self.format == PixelFormat::Rgba8 { self.pixels[at + 3] } else { 255 }
    }

    pub(crate) fn convert(&self, format: PixelFormat) -> Self {
        let mut pixels = Vec::with_capacity(self.width as usize * self.height as usize * format.channels());
        for y in 0..self.height {
            for x in 0..self.width {
                let [r, g, b] = self.rgb(x, y);
                match format {
                    // ITU-R BT.601 in 16.16 fixed point, as PIL's `L`.
                    PixelFormat::L8 => pixels.push(
                        ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8,
                    ),
                    PixelFormat::Rgb8 => pixels.extend([r, g, b]),
                    PixelFormat::Rgba8 => pixels.extend([r, g, b, self.alpha(x, y)]),
                }
            }
        }
        Self { format, pixels, ..*self }
    }

    pub(crate) fn crop(&self, area: Rect) -> Result<Self> {
        let inside = |from: u32, size: u32, all: u32| size > 0 && from.checked_add(size).is_some_and(|end| end <= all);
        if !inside(area.x, area.width, self.width) || !inside(area.y, area.height, self.height) {
            let (w, h) = (self.width, self.height);
            return Err(Error::invalid_input(format!("crop {area:?}: the image is {w}×{h}")));
        }
        let channels = self.format.channels();
        let rows = (area.y..area.y + area.height).flat_map(|y| {
            let from = (y as usize * self.width as usize + area.x as usize) * channels;
            self.pixels[from..from + area.width as usize * channels].iter().copied()
        });
        Self::new(area.width, area.height, self.format, rows.collect())
    }

    pub(crate) fn resize(&self, spec: &ResizeSpec) -> Result<Self> {
        if spec.width == 0 || spec.height == 0 {
            return Err(Error::invalid_input("resize: expected a size above 0"));
        }
        let (w, h) = (f64::from(spec.width), f64::from(spec.height));
        let (by_width, by_height) = (w / f64::from(self.width), h / f64::from(self.height));
        let scaled = |scale: f64| {
            let size = |n: u32, limit: u32| ((f64::from(n) * scale).round() as u32).clamp(1, limit);
            self.stretch(size(self.width, spec.width), size(self.height, spec.height))
        };
        Ok(match spec.fit {
            Fit::Stretch => self.stretch(spec.width, spec.height),
            Fit::Contain => scaled(by_width.min(by_height)),
            Fit::Cover => {
                let scale = by_width.max(by_height);
                let size = |n: f64| ((n / scale).round() as u32).max(1);
                let (width, height) = (size(w).min(self.width), size(h).min(self.height));
                let (x, y) = ((self.width - width) / 2, (self.height - height) / 2);
                self.crop(Rect { x, y, width, height })?.stretch(spec.width, spec.height)
            }
            Fit::Pad => {
                let inner = scaled(by_width.min(by_height)).convert(PixelFormat::Rgb8);
                let (left, top) = ((spec.width - inner.width) / 2, (spec.height - inner.height) / 2);
                let [_, r, g, b] = spec.pad_color.to_be_bytes();
                let mut pixels = [r, g, b].repeat(spec.width as usize * spec.height as usize);
                for y in 0..inner.height {
                    for x in 0..inner.width {
                        let at = ((y + top) as usize * spec.width as usize + (x + left) as usize) * 3;
                        pixels[at..at + 3].copy_from_slice(&inner.rgb(x, y));
                    }
                }
                Self::new(spec.width, spec.height, PixelFormat::Rgb8, pixels)?
            }
        })
    }

    /// The mean of the pixels that fall into each new one.
    fn stretch(&self, width: u32, height: u32) -> Self {
        let channels = self.format.channels();
        let span = |i: u32, new: u32, old: u32| {
            let from = (u64::from(i) * u64::from(old) / u64::from(new)) as usize;
            let to = (u64::from(i + 1) * u64::from(old)).div_ceil(u64::from(new)) as usize;
            from..to.max(from + 1)
        };
        let mut pixels = Vec::with_capacity(width as usize * height as usize * channels);
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let (mut sum, mut count) = (0u64, 0u64);
                    for sy in span(y, height, self.height) {
                        for sx in span(x, width, self.width) {
                            sum += u64::from(self.pixels[(sy * self.width as usize + sx) * channels + c]);
                            count += 1;
                        }
                    }
                    pixels.push(((sum + count / 2) / count) as u8);
                }
            }
        }
        Self { width, height, format: self.format, pixels }
    }

    pub(crate) fn to_array(&self, spec: &TensorSpec) -> Result<Array> {
        if spec.dtype != Dtype::Float32 && spec.dtype != Dtype::Uint8 {
            return Err(Error::unsupported(format!("the pretend host makes no {:?} tensors", spec.dtype)));
        }
        let sized = spec.resize.as_ref().map(|r| self.resize(r)).transpose()?;
        let image = sized.as_ref().unwrap_or(self);
        let (w, h) = (image.width, image.height);
        let value = |x: u32, y: u32, c: usize| {
            let rgb = image.rgb(x, y);
            let pixel = if spec.order == ChannelOrder::Rgb { rgb[c] } else { rgb[2 - c] };
            (f32::from(pixel) * spec.scale - spec.mean[c]) / spec.std[c]
        };
        let mut data = Vec::with_capacity(w as usize * h as usize * 3);
        match spec.layout {
            Layout::Nchw => {
                for c in 0..3 {
                    for y in 0..h {
                        data.extend((0..w).map(|x| value(x, y, c)));
                    }
                }
                Array::new(&[1, 3, h, w], data)
            }
            Layout::Nhwc => {
                for y in 0..h {
                    for x in 0..w {
                        data.extend((0..3).map(|c| value(x, y, c)));
                    }
                }
                Array::new(&[1, h, w, 3], data)
            }
        }
    }

    /// 8×8 grey values against their mean, whatever the kind: enough for «similar» and «different» in tests.
    pub(crate) fn perceptual_hash(&self, _: Perceptual) -> u64 {
        let small = self.convert(PixelFormat::L8).stretch(8, 8).pixels;
        let mean = small.iter().map(|&p| u32::from(p)).sum::<u32>() / 64;
        small.iter().fold(0, |bits, &p| bits << 1 | u64::from(u32::from(p) > mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_sdk::Filter;

    fn picture() -> Picture {
        Picture::new(2, 2, PixelFormat::Rgb8, vec![0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255]).unwrap()
    }

    fn spec(width: u32, height: u32, fit: Fit) -> ResizeSpec {
        ResizeSpec { width, height, fit, filter: Filter::Area, pad_color: 0x01_02_03 }
    }

    #[test]
    fn every_fit_gives_its_size() {
        let wide = picture().resize(&spec(4, 2, Fit::Stretch)).unwrap();
        assert_eq!((wide.width, wide.height), (4, 2));
        let padded = wide.resize(&spec(4, 4, Fit::Pad)).unwrap();
        assert_eq!((padded.width, padded.height), (4, 4));
        assert_eq!(padded.rgb(0, 0), [1, 2, 3]);
        assert_eq!(padded.rgb(0, 1), [0, 0, 0]);
        let contained = wide.resize(&spec(2, 2, Fit::Contain)).unwrap();
        assert_eq!((contained.width, contained.height), (2, 1));
        let covered = wide.resize(&spec(2, 2, Fit::Cover)).unwrap();
        assert_eq!((covered.width, covered.height), (2, 2));
    }

    #[test]
    fn converts_and_reads_back() {
        assert_eq!(picture().convert(PixelFormat::L8).pixels, [0, 255, 76, 29]);
        assert_eq!(Picture::decode(&picture().encode()).unwrap(), picture());
        assert!(Picture::decode(b"GIF89a").is_err());
    }

    #[test]
    fn tensors_follow_layout_and_order() {
        let nchw = picture().to_array(&TensorSpec::default()).unwrap();
        assert_eq!(nchw.shape, [1, 3, 2, 2]);
        assert_eq!(nchw.data[..4], [0.0, 1.0, 1.0, 0.0]);
        let bgr = TensorSpec { layout: Layout::Nhwc, order: ChannelOrder::Bgr, scale: 1.0, ..TensorSpec::default() };
        let nhwc = picture().to_array(&bgr).unwrap();
        assert_eq!(nhwc.shape, [1, 2, 2, 3]);
        assert_eq!(nhwc.data[6..9], [0.0, 0.0, 255.0]);
    }

    #[test]
    fn crops_stay_inside() {
        let area = Rect { x: 1, y: 1, width: 1, height: 1 };
        assert_eq!(picture().crop(area).unwrap().pixels, [0, 0, 255]);
        assert!(picture().crop(Rect { width: 2, ..area }).is_err());
        assert!(picture().crop(Rect { x: u32::MAX, ..area }).is_err());
    }
}

use candle_core::{DType, Device, Tensor};
use data::{Image, PixelFormat};
use spec::ObjectType;

/// One or more pictures, not necessarily of one size.
///
/// Pictures that were computed keep their exact values beside the 8-bit ones, so that a picture that is decoded,
/// enlarged and encoded again loses nothing on the way.
#[derive(Clone, Debug)]
pub struct ImageBatch {
    images: Vec<Image>,
    /// For each picture (3, h, w), or (4, h, w) with alpha, f32, red first, 0…1.
    exact: Option<Vec<Tensor>>,
}

impl ImageBatch {
    /// Pictures of 8 bits a channel.
    pub fn new(images: Vec<Image>) -> Self {
        Self { images, exact: None }
    }

    /// Pictures (3, h, w), red first, 0…1, or (4, h, w) with alpha. Their 8-bit values are cut off, not rounded, as ComfyUI
    /// saves them.
    ///
    /// # Errors
    /// Another shape.
    pub fn from_pixels(pixels: Vec<Tensor>) -> anyhow::Result<Self> {
        let mut images = Vec::with_capacity(pixels.len());
        let mut exact = Vec::with_capacity(pixels.len());
        for picture in &pixels {
            let picture = picture.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
            images.push(to_bytes(&picture)?);
            exact.push(picture);
        }
        Ok(Self { images, exact: Some(exact) })
    }

    /// The pictures in 8 bits a channel.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The exact values of computed pictures, (3, h, w) each, or (4, h, w) with alpha.
    pub fn exact(&self) -> Option<&[Tensor]> {
        self.exact.as_deref()
    }

    /// Each picture as (3, h, w) f32, red first, 0…1, without alpha.
    ///
    /// # Errors
    /// None that the user can cause.
    pub fn pixels(&self) -> anyhow::Result<Vec<Tensor>> {
        match &self.exact {
            Some(exact) => exact.iter().map(|picture| Ok(picture.narrow(0, 0, 3)?)).collect(),
            None => self.images.iter().map(from_bytes).collect(),
        }
    }

    /// Each picture as (3, h, w), or (4, h, w) with alpha, the colours as they lie below it.
    pub(crate) fn with_alpha(&self) -> anyhow::Result<Vec<Tensor>> {
        match &self.exact {
            Some(exact) => Ok(exact.clone()),
            None => self.images.iter().map(raw).collect(),
        }
    }

    /// What is opaque in each picture, (h, w) of 0…1: all of one without alpha.
    ///
    /// # Errors
    /// None that the user can cause.
    pub(crate) fn alphas(&self) -> anyhow::Result<Vec<Tensor>> {
        let shown = self.images.iter().enumerate().map(|(i, image)| match self.exact.as_ref().map(|exact| &exact[i]) {
            Some(exact) if exact.dim(0)? > 3 => Ok(exact.get(3)?),
            _ => alpha_from_bytes(image),
        });
        shown.collect()
    }

    /// Some of the pictures.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let exact = self.exact.as_ref().map(|exact| exact[range.clone()].to_vec());
        Self { images: self.images[range].to_vec(), exact }
    }

    /// The pictures of several batches; exact values are kept if any has them.
    pub(crate) fn join(batches: &[std::sync::Arc<Self>]) -> anyhow::Result<Self> {
        if batches.iter().any(|b| b.exact.is_some()) {
            let pixels = batches.iter().map(|b| b.pixels()).collect::<anyhow::Result<Vec<_>>>()?;
            return Self::from_pixels(pixels.concat());
        }
        Ok(Self::new(batches.iter().flat_map(|b| b.images.iter().cloned()).collect()))
    }

    /// Changes each picture, (1, 3, h, w) of 0…1 to (1, 3, h', w').
    pub(crate) fn each(&self, mut change: impl FnMut(Tensor) -> anyhow::Result<Tensor>) -> anyhow::Result<Self> {
        let changed = self.pixels()?.into_iter().map(|p| Ok(change(p.unsqueeze(0)?)?.squeeze(0)?));
        Self::from_pixels(changed.collect::<anyhow::Result<_>>()?)
    }
}

fn from_bytes(image: &Image) -> anyhow::Result<Tensor> {
    raw(&image.convert(PixelFormat::Rgb8))
}

/// The colours, and alpha if there is one; nothing is laid over anything.
fn raw(image: &Image) -> anyhow::Result<Tensor> {
    let image = if image.format == PixelFormat::L8 { image.convert(PixelFormat::Rgb8) } else { image.clone() };
    let values: Vec<f32> = image.pixels.iter().map(|p| f32::from(*p) / 255.0).collect();
    let shape = (image.height as usize, image.width as usize, image.format.channels());
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.permute((2, 0, 1))?.contiguous()?)
}

fn alpha_from_bytes(image: &Image) -> anyhow::Result<Tensor> {
    let values: Vec<f32> = match image.format {
        PixelFormat::Rgba8 => image.pixels.chunks_exact(4).map(|p| f32::from(p[3]) / 255.0).collect(),
        _ => vec![1.0; image.width as usize * image.height as usize],
    };
    Ok(Tensor::from_vec(values, (image.height as usize, image.width as usize), &Device::Cpu)?)
}

fn to_bytes(picture: &Tensor) -> anyhow::Result<Image> {
    let (c, h, w) = picture.dims3()?;
    let format = if c == 4 { PixelFormat::Rgba8 } else { PixelFormat::Rgb8 };
    let values = picture.permute((1, 2, 0))?.flatten_all()?.to_vec1::<f32>()?;
    let bytes: Vec<u8> = values.iter().map(|v| (v * 255.0).clamp(0.0, 255.0) as u8).collect();
    Ok(Image::new(w as u32, h as u32, format, bytes)?)
}

impl ObjectType for ImageBatch {
    const SOCKET: &'static str = "IMAGE";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back_and_pixels_keep_their_places() {
        let bytes: Vec<u8> = (0..=255).chain(0..128).collect();
        let image = Image::new(64, 2, PixelFormat::Rgb8, bytes).unwrap();
        let batch = ImageBatch::new(vec![image.clone()]);
        let pixels = batch.pixels().unwrap();
        assert_eq!(pixels[0].dims(), [3, 2, 64]);
        let green: f32 = pixels[0].get(1).unwrap().get(1).unwrap().get(2).unwrap().to_scalar().unwrap();
        assert_eq!(green, f32::from(image.pixels[64 * 3 + 2 * 3 + 1]) / 255.0);
        assert_eq!(ImageBatch::from_pixels(pixels).unwrap().images()[0].pixels, image.pixels);
    }

    #[test]
    fn computed_values_are_cut_off_in_bytes_and_exact_beside_them() {
        let values = Tensor::new(&[[[0.999f32]], [[-1.0]], [[2.0]]], &Device::Cpu).unwrap();
        let batch = ImageBatch::from_pixels(vec![values.clone()]).unwrap();
        assert_eq!(batch.images()[0].pixels[..], [254, 0, 255]);
        let same = (&batch.pixels().unwrap()[0] - values).unwrap().abs().unwrap().max_all().unwrap();
        assert_eq!(same.to_scalar::<f32>().unwrap(), 0.0);
    }
}

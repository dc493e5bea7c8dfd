//! Between pictures and tensors.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use data::{Image, PixelFormat};

/// A picture as the autoencoder takes it: (1, 3, h, w), red first, −1…1.
pub(crate) fn to_tensor(image: &Image, device: &Device) -> Result<Tensor> {
    let rgb = image.convert(PixelFormat::Rgb8);
    let (h, w) = (rgb.height as usize, rgb.width as usize);
    let pixels: Vec<f32> = rgb.pixels.iter().map(|&p| f32::from(p) / 127.5 - 1.0).collect();
    Ok(Tensor::from_vec(pixels, (1, h, w, 3), device)?.permute((0, 3, 1, 2))?.contiguous()?)
}

/// What the autoencoder gives, (b, 3, h, w) in about −1…1, as pictures. Values are cut off, not rounded, to 8 bits, as
/// ComfyUI saves them.
pub(crate) fn from_tensor(pixels: &Tensor) -> Result<Vec<Image>> {
    let (b, _, h, w) = pixels.dims4()?;
    let pixels = pixels.to_dtype(DType::F32)?.permute((0, 2, 3, 1))?.contiguous()?;
    (0..b)
        .map(|i| {
            let values = pixels.get(i)?.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> =
                values.iter().map(|v| ((v + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0).map(|v| v as u8).collect();
            Ok(Image::new(w as u32, h as u32, PixelFormat::Rgb8, bytes)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_keep_their_places() {
        let image = Image::new(2, 1, PixelFormat::Rgb8, vec![0, 128, 255, 10, 20, 30]).unwrap();
        let tensor = to_tensor(&image, &Device::Cpu).unwrap();
        assert_eq!(tensor.dims(), [1, 3, 1, 2]);
        let red = tensor.get(0).unwrap().get(0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!((red[0] + 1.0).abs() < 1e-6 && (red[1] - (10.0 / 127.5 - 1.0)).abs() < 1e-6);
        let back = from_tensor(&(tensor + 1e-4).unwrap()).unwrap();
        assert_eq!(back[0].pixels, image.pixels);
    }
}

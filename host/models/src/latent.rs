//! The latents of the families: size, scale, and what they look like.

use crate::error::Result;
use candle_core::Tensor;

/// The latents of a family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latent {
    /// Channels.
    pub channels: usize,
    /// Pixels of an image for each pixel of a latent, both ways.
    pub factor: usize,
    /// Factor that gives latents a variance near one; a checkpoint's VAE may say otherwise.
    pub scaling: f64,
    /// Subtracted before the factor.
    pub shift: f64,
    /// Red, green and blue in about -1…1 that each channel of a scaled latent stands for: a rough picture without the
    /// VAE. Source: ComfyUI, latent_formats.py.
    pub rgb: &'static [[f32; 3]],
    /// Added to the sum of these.
    pub rgb_bias: [f32; 3],
}

impl Latent {
    /// Latents as the VAE has them → latents as networks and samplers have them; any shape.
    pub fn scale(&self, latents: &Tensor) -> Result<Tensor> {
        Ok(((latents - self.shift)? * self.scaling)?)
    }

    /// The way back.
    pub fn unscale(&self, latents: &Tensor) -> Result<Tensor> {
        Ok(((latents / self.scaling)? + self.shift)?)
    }

    /// A rough picture (b, 3, h, w) in about -1…1 of scaled latents (b, c, h, w).
    pub fn picture(&self, latents: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = latents.dims4()?;
        let device = latents.device();
        let factors: Vec<f32> = self.rgb.iter().take(c).flatten().copied().collect();
        // (3, c) · (b, c, h·w)
        let factors = Tensor::from_vec(factors, (self.rgb.len(), 3), device)?.t()?.contiguous()?;
        let picture = factors.unsqueeze(0)?.broadcast_matmul(&latents.reshape((b, c, h * w))?)?;
        let bias = Tensor::new(&self.rgb_bias, device)?.reshape((1, 3, 1))?;
        Ok(picture.broadcast_add(&bias)?.reshape((b, 3, h, w))?)
    }
}

/// SD 1.x and 2.x.
pub(crate) const SD: Latent = Latent {
    channels: 4,
    factor: 8,
    scaling: 0.18215,
    shift: 0.0,
    rgb: &[[0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721], [-0.2120, -0.2616, -0.7177]],
    rgb_bias: [0.0; 3],
};

/// SDXL.
pub(crate) const SDXL: Latent = Latent {
    scaling: 0.13025,
    rgb: &[
        [0.3651, 0.4232, 0.4341],
        [-0.2533, -0.0042, 0.1068],
        [0.1076, 0.1111, -0.0362],
        [-0.3165, -0.2492, -0.2188],
    ],
    rgb_bias: [0.1084, -0.0175, -0.0011],
    ..SD
};

/// Flux.1.
pub(crate) const FLUX: Latent = Latent {
    channels: 16,
    factor: 8,
    scaling: 0.3611,
    shift: 0.1159,
    rgb: &[
        [-0.0346, 0.0244, 0.0681],
        [0.0034, 0.0210, 0.0687],
        [0.0275, -0.0668, -0.0433],
        [-0.0174, 0.0160, 0.0617],
        [0.0859, 0.0721, 0.0329],
        [0.0004, 0.0383, 0.0115],
        [0.0405, 0.0861, 0.0915],
        [-0.0236, -0.0185, -0.0259],
        [-0.0245, 0.0250, 0.1180],
        [0.1008, 0.0755, -0.0421],
        [-0.0515, 0.0201, 0.0011],
        [0.0428, -0.0012, -0.0036],
        [0.0817, 0.0765, 0.0749],
        [-0.1264, -0.0522, -0.1103],
        [-0.0280, -0.0881, -0.0499],
        [-0.1262, -0.0982, -0.0778],
    ],
    rgb_bias: [-0.0329, -0.0718, -0.0851],
};

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn scaling_goes_both_ways() {
        let raw = Tensor::new(&[[[[0.3f32, -2.0]]]], &Device::Cpu).unwrap();
        for latent in [SD, SDXL, FLUX] {
            let back = latent.unscale(&latent.scale(&raw).unwrap()).unwrap();
            let off = (back - &raw).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(off < 1e-6, "{off}");
        }
    }

    #[test]
    fn a_rough_picture_is_the_channels_colours() {
        for latent in [SD, SDXL, FLUX] {
            assert_eq!(latent.rgb.len(), latent.channels);
            let mut one = vec![0f32; latent.channels * 2];
            one[2] = 1.0; // the first pixel of the second channel
            let one = Tensor::from_vec(one, (1, latent.channels, 1, 2), &Device::Cpu).unwrap();
            let found = latent.picture(&one).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (i, pixels) in found.chunks(2).enumerate() {
                assert_eq!(pixels, [latent.rgb[1][i] + latent.rgb_bias[i], latent.rgb_bias[i]]);
            }
        }
    }
}

//! Keeping a part of the latent while the rest is made anew.

use crate::{Denoiser, Mix};
use anyhow::Result;
use candle_core::Tensor;

/// A denoiser that sees, and gives back, a known latent where the mask is 0 (ComfyUI, `KSamplerX0Inpaint`).
pub struct Inpaint<'a> {
    pub denoiser: &'a mut dyn Denoiser,
    /// 1 where the latent is made, 0 where it is kept; broadcasts to (b, c, h, w).
    pub mask: &'a Tensor,
    /// What is kept, (b, c, h, w), scaled as the sampler's latents are.
    pub latent: &'a Tensor,
    /// The start noise, which the kept part has on it at every level.
    pub noise: &'a Tensor,
}

impl Inpaint<'_> {
    fn keep(&self, made: &Tensor, kept: &Tensor) -> Result<Tensor> {
        let rest = self.mask.affine(-1.0, 1.0)?;
        Ok((made.broadcast_mul(self.mask)? + kept.broadcast_mul(&rest)?)?)
    }

    fn input(&self, x: &Tensor, sigma: f64) -> Result<Tensor> {
        let kept = ((self.latent * self.mix().alpha(sigma))? + (self.noise * sigma)?)?;
        self.keep(x, &kept)
    }
}

impl Denoiser for Inpaint<'_> {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Tensor> {
        let guess = self.denoiser.denoise(&self.input(x, sigma)?, sigma)?;
        self.keep(&guess, self.latent)
    }

    /// The guess without a prompt stays the model's own, as ComfyUI's hooks see it.
    fn denoise_both(&mut self, x: &Tensor, sigma: f64) -> Result<(Tensor, Tensor)> {
        let (guess, without) = self.denoiser.denoise_both(&self.input(x, sigma)?, sigma)?;
        Ok((self.keep(&guess, self.latent)?, without))
    }

    fn mix(&self) -> Mix {
        self.denoiser.mix()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StepNoise, sampler};
    use candle_core::Device;

    #[test]
    fn the_kept_part_ends_as_it_was() {
        let tensor = |values: [f32; 4]| Tensor::from_slice(&values, (1, 1, 2, 2), &Device::Cpu).unwrap();
        let (latent, noise) = (tensor([1.0, 2.0, 3.0, 4.0]), tensor([0.3, -1.0, 0.7, 0.1]));
        let mask = tensor([0.0, 1.0, 0.0, 1.0]);
        let mut seen = Vec::new();
        let mut five = |x: &Tensor, sigma: f64| {
            seen.push((sigma, x.flatten_all()?.to_vec1::<f32>()?[2]));
            Ok(x.zeros_like()?.affine(1.0, 5.0)?)
        };
        let mut inpaint = Inpaint { denoiser: &mut five, mask: &mask, latent: &latent, noise: &noise };
        let start = (&latent + (&noise * 4.0).unwrap()).unwrap();
        let end = sampler("euler")
            .unwrap()
            .sample(&mut inpaint, start, &[4.0, 2.0, 0.0], &mut StepNoise::from_seed(0), &mut |_| Ok(()))
            .unwrap();
        assert_eq!(end.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 5.0, 3.0, 5.0]);
        for (sigma, value) in seen {
            assert!((f64::from(value) - (3.0 + 0.7 * sigma)).abs() < 1e-6, "{sigma} {value}");
        }
    }
}

//! The noise schedule that a base was trained with, and what follows from it for training.

use crate::losses::Prediction;
use candle_core::{Device, Result, Tensor};
use models::Betas;

/// ᾱ for every timestep: how much of the latent is left.
#[derive(Clone, Debug)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f32>,
}

impl NoiseSchedule {
    /// From a family's betas; for SD 1.x their square roots are evenly spaced from √0.00085 to √0.012. Computed in f32 as
    /// diffusers does.
    pub fn new(betas: Betas) -> Self {
        let root = |x: f64| if betas.scaled { x.sqrt() as f32 } else { x as f32 };
        let (from, to, n) = (root(betas.start), root(betas.end), betas.steps);
        let step = (to - from) / (n.max(2) - 1) as f32;
        let mut product = 1.0f32;
        let alphas_cumprod = (0..n)
            .map(|i| {
                // As torch.linspace: the second half counts from the end.
                let x = if i < n / 2 { from + step * i as f32 } else { to - step * (n - 1 - i) as f32 };
                product *= 1.0 - if betas.scaled { x * x } else { x };
                product
            })
            .collect();
        Self { alphas_cumprod }
    }

    /// Number of timesteps.
    pub fn len(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// Is it without timesteps? Never, for a schedule that means anything.
    pub fn is_empty(&self) -> bool {
        self.alphas_cumprod.is_empty()
    }

    /// ᾱ at a timestep.
    pub fn alpha_bar(&self, timestep: u32) -> f64 {
        f64::from(self.alphas_cumprod[timestep as usize])
    }

    /// Signal-to-noise ratio ᾱ / (1 − ᾱ).
    pub fn snr(&self, timestep: u32) -> f64 {
        let a = self.alpha_bar(timestep);
        a / (1.0 - a)
    }

    /// Latents with noise: sqrt(ᾱ)·x + sqrt(1 − ᾱ)·noise; all (b, c, h, w), one timestep for each image.
    pub fn add_noise(&self, latents: &Tensor, noise: &Tensor, timesteps: &[u32]) -> Result<Tensor> {
        let (signal, dirt) = self.roots(timesteps, latents.device())?;
        latents.broadcast_mul(&signal)? + noise.broadcast_mul(&dirt)?
    }

    /// What the network should output; (b, c, h, w).
    pub fn target(
        &self,
        prediction: Prediction,
        latents: &Tensor,
        noise: &Tensor,
        timesteps: &[u32],
    ) -> Result<Tensor> {
        match prediction {
            Prediction::Epsilon => Ok(noise.clone()),
            Prediction::V => {
                let (signal, dirt) = self.roots(timesteps, latents.device())?;
                noise.broadcast_mul(&signal)? - latents.broadcast_mul(&dirt)?
            }
        }
    }

    /// sqrt(ᾱ) and sqrt(1 − ᾱ), each (b, 1, 1, 1).
    fn roots(&self, timesteps: &[u32], device: &Device) -> Result<(Tensor, Tensor)> {
        let bars: Vec<f32> = timesteps.iter().map(|&t| self.alphas_cumprod[t as usize]).collect();
        let shape = (timesteps.len(), 1, 1, 1);
        let signal = Tensor::from_iter(bars.iter().map(|a| a.sqrt()), device)?.reshape(shape)?;
        let dirt = Tensor::from_iter(bars.iter().map(|a| (1.0 - a).sqrt()), device)?.reshape(shape)?;
        Ok((signal, dirt))
    }
}

/// Noise offset: noise + strength · one number for each channel; `offset` (b, c, 1, 1). Lets a network learn images
/// that are dark or bright as a whole. Source: Guttenberg 2023, «Diffusion with offset noise».
pub fn with_offset(noise: &Tensor, offset: &Tensor, strength: f64) -> Result<Tensor> {
    noise.broadcast_add(&(offset * strength)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_falls_from_almost_one_to_almost_zero() {
        let s = NoiseSchedule::new(models::FAMILIES[0].noise.betas().unwrap());
        assert_eq!(s.len(), 1000);
        assert!((s.alpha_bar(0) - 0.99915).abs() < 1e-6);
        assert!((s.alpha_bar(999) - 0.0046602).abs() < 1e-5, "{}", s.alpha_bar(999));
        assert!((1..1000).all(|t| s.alpha_bar(t) < s.alpha_bar(t - 1)));
    }

    #[test]
    fn noise_and_v_give_the_latent_back() {
        let s = NoiseSchedule::new(models::FAMILIES[0].noise.betas().unwrap());
        let x = Tensor::new(&[[[[0.3f32, -1.2]]]], &Device::Cpu).unwrap();
        let n = Tensor::new(&[[[[1.1f32, 0.4]]]], &Device::Cpu).unwrap();
        let noisy = s.add_noise(&x, &n, &[400]).unwrap();
        let v = s.target(Prediction::V, &x, &n, &[400]).unwrap();
        let a = s.alpha_bar(400);
        let back = ((noisy * a.sqrt()).unwrap() - (v * (1.0 - a).sqrt()).unwrap()).unwrap();
        let off = (back - x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(off < 1e-6, "{off}");
    }
}

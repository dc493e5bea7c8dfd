//! Keeping a part of the latent while the rest is made anew.

use crate::{Denoiser, Mix, SigmaTable};
use anyhow::Result;
use candle_core::{DType, Tensor};

/// A denoiser that sees, and gives back, a known latent where the mask is 0 (ComfyUI, `KSamplerX0Inpaint`).
pub struct Inpaint<'a> {
    pub denoiser: &'a mut dyn Denoiser,
    /// 1 where the latent is made, 0 where it is kept; broadcasts to (b, c, h, w).
    pub mask: &'a Tensor,
    /// What is kept, (b, c, h, w), scaled as the sampler's latents are.
    pub latent: &'a Tensor,
    /// The start noise, which the kept part has on it at every level.
    pub noise: &'a Tensor,
    /// Lets greys of the mask say from when on a part is made.
    pub differential: Option<(Differential, &'a SigmaTable)>,
}

/// A mask whose greys are moments: where it is 0.3, the latent is made anew in the last three tenths of the way (Levin and
/// Fried 2023, arXiv:2306.00950, as in ComfyUI's node).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Differential {
    /// Time of the first noise level.
    from: f64,
    /// Time of the last one.
    to: f64,
    /// Share of the sharp mask; the rest is the mask itself.
    strength: f64,
}

impl Differential {
    /// For a walk along these sigmas. A strength of 0 counts as 1, as it does in ComfyUI.
    pub fn new(table: &SigmaTable, sigmas: &[f64], strength: f64) -> Self {
        let first = sigmas.first().copied().unwrap_or(0.0);
        let last = sigmas.last().copied().unwrap_or(0.0).max(table.min());
        Self { from: table.timestep(first), to: table.timestep(last), strength }
    }

    /// The mask at the noise level of this time.
    fn at(self, mask: &Tensor, time: f64) -> Result<Tensor> {
        let threshold = (time - self.to) / (self.from - self.to);
        let sharp = mask.ge(threshold as f32)?.to_dtype(DType::F32)?;
        if self.strength > 0.0 && self.strength < 1.0 {
            return Ok(((sharp * self.strength)? + (mask * (1.0 - self.strength))?)?);
        }
        Ok(sharp)
    }
}

impl Inpaint<'_> {
    /// The mask at this noise level.
    fn mask(&self, sigma: f64) -> Result<Tensor> {
        match self.differential {
            Some((differential, table)) => differential.at(self.mask, table.timestep(sigma)),
            None => Ok(self.mask.clone()),
        }
    }

    fn input(&self, x: &Tensor, sigma: f64, mask: &Tensor) -> Result<Tensor> {
        let kept = ((self.latent * self.mix().alpha(sigma))? + (self.noise * sigma)?)?;
        keep(x, &kept, mask)
    }
}

fn keep(made: &Tensor, kept: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let rest = mask.affine(-1.0, 1.0)?;
    Ok((made.broadcast_mul(mask)? + kept.broadcast_mul(&rest)?)?)
}

impl Denoiser for Inpaint<'_> {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Tensor> {
        let mask = self.mask(sigma)?;
        let guess = self.denoiser.denoise(&self.input(x, sigma, &mask)?, sigma)?;
        keep(&guess, self.latent, &mask)
    }

    /// The guess without a prompt stays the model's own, as ComfyUI's hooks see it.
    fn denoise_both(&mut self, x: &Tensor, sigma: f64) -> Result<(Tensor, Tensor)> {
        let mask = self.mask(sigma)?;
        let (guess, without) = self.denoiser.denoise_both(&self.input(x, sigma, &mask)?, sigma)?;
        Ok((keep(&guess, self.latent, &mask)?, without))
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
        let mut inpaint =
            Inpaint { denoiser: &mut five, mask: &mask, latent: &latent, noise: &noise, differential: None };
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

    #[test]
    fn greys_of_a_differential_mask_are_moments() {
        let table = SigmaTable::sd15();
        let sigmas = [table.max(), table.sigma(500.0), table.sigma(250.0), 0.0];
        let mask = Tensor::new(&[1.0f32, 0.6, 0.3, 0.0], &Device::Cpu).unwrap();
        let at = |strength: f64, sigma: f64| {
            let differential = Differential::new(&table, &sigmas, strength);
            differential.at(&mask, table.timestep(sigma)).unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(at(1.0, sigmas[0]), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(at(1.0, sigmas[1]), [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(at(1.0, sigmas[2]), [1.0, 1.0, 1.0, 0.0]);
        assert_eq!(at(0.0, sigmas[2]), at(1.0, sigmas[2]));
        assert_eq!(at(0.5, sigmas[1]), [1.0, 0.8, 0.15, 0.0]);
    }
}

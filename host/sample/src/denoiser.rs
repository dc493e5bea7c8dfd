//! From what a network predicts to a clean guess.

use crate::{Mix, SigmaTable};
use anyhow::Result;
use candle_core::Tensor;

/// Guesses the clean latent behind a noisy one.
pub trait Denoiser {
    /// `x`: (b, c, h, w), all images at noise level `sigma`. Returns the guess in the same shape.
    ///
    /// # Errors
    /// Whatever the network says.
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Tensor>;

    /// The guess, and the one without the prompt that guidance started from; the `cfg_pp` samplers need both.
    /// Without guidance they are the same.
    ///
    /// # Errors
    /// Whatever the network says.
    fn denoise_both(&mut self, x: &Tensor, sigma: f64) -> Result<(Tensor, Tensor)> {
        let guess = self.denoise(x, sigma)?;
        Ok((guess.clone(), guess))
    }

    /// How the latents that this denoiser takes are made of clean latents and noise.
    fn mix(&self) -> Mix {
        Mix::Added
    }
}

impl<F: FnMut(&Tensor, f64) -> Result<Tensor>> Denoiser for F {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Tensor> {
        self(x, sigma)
    }
}

/// What a network outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Prediction {
    /// The noise, of variance 1.
    Epsilon,
    /// The velocity √ᾱ·ε − √(1−ᾱ)·x₀ (Salimans and Ho 2022, arXiv:2202.00512).
    V,
    /// What is added to the noisy latent's share, for data of this standard deviation (Karras et al. 2022,
    /// arXiv:2206.00364).
    Edm { data: f64 },
    /// The velocity ε − x₀ of a straight line from clean to noise (Liu et al. 2022, arXiv:2209.03003).
    Flow,
}

/// A denoiser made of a network, which takes the noisy latent (at variance 1, where noise is added on top) and the time
/// that the table gives it.
pub struct NetworkDenoiser<'a, F> {
    pub table: &'a SigmaTable,
    pub prediction: Prediction,
    /// (x, timestep) → prediction.
    pub network: F,
}

impl<F: FnMut(&Tensor, f64) -> Result<Tensor>> Denoiser for NetworkDenoiser<'_, F> {
    fn denoise(&mut self, x: &Tensor, sigma: f64) -> Result<Tensor> {
        if self.prediction == Prediction::Flow {
            let velocity = (self.network)(x, self.table.timestep(sigma))?;
            return Ok((x - (velocity * sigma)?)?);
        }
        let data = if let Prediction::Edm { data } = self.prediction { data * data } else { 1.0 };
        let variance = sigma * sigma + data;
        let input = (x / variance.sqrt())?;
        let output = (self.network)(&input, self.table.timestep(sigma))?;
        Ok(match self.prediction {
            Prediction::Epsilon | Prediction::Flow => (x - (output * sigma)?)?,
            Prediction::V => ((x / variance)? - (output * (sigma / variance.sqrt()))?)?,
            Prediction::Edm { .. } => ((x * (data / variance))? + (output * (sigma * data.sqrt() / variance.sqrt()))?)?,
        })
    }

    fn mix(&self) -> Mix {
        self.table.mix()
    }
}

/// Classifier-free guidance on clean guesses: away from `without` the prompt, towards `with` it
/// (Ho and Salimans 2022, arXiv:2207.12598).
///
/// # Errors
/// When the shapes differ.
pub fn guide(with: &Tensor, without: &Tensor, scale: f64) -> Result<Tensor> {
    Ok((without + ((with - without)? * scale)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// The network that guesses no change is the share of the data in the noisy latent.
    #[test]
    fn edm_weighs_data_and_noise() {
        let table = SigmaTable::continuous(0.002, 120.0);
        let x = Tensor::new(&[[[[2.0f64]]]], &Device::Cpu).unwrap();
        let mut denoiser = NetworkDenoiser {
            table: &table,
            prediction: Prediction::Edm { data: 0.5 },
            network: |x: &Tensor, time: f64| {
                assert!((time - 0.25 * 1.5f64.ln()).abs() < 1e-12);
                // The input has a variance of 1.
                let input = x.flatten_all()?.to_vec1::<f64>()?[0];
                assert!((input - 2.0 / 2.5f64.sqrt()).abs() < 1e-12);
                Ok(x.zeros_like()?.affine(1.0, 3.0)?)
            },
        };
        let guess = denoiser.denoise(&x, 1.5).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let wanted = 2.0 * 0.25 / 2.5 + 3.0 * 1.5 * 0.5 / 2.5f64.sqrt();
        assert!((guess[0] - wanted).abs() < 1e-12, "{guess:?}");
    }

    /// Both predictions of the same noise lead to the same clean guess.
    #[test]
    fn epsilon_and_v_agree() {
        let table = SigmaTable::sd15();
        let sigma = 2.5f64;
        let (clean, noise) = (0.7f64, -0.3f64);
        let x = Tensor::new(&[[[[clean + sigma * noise]]]], &Device::Cpu).unwrap();
        let alpha_bar = 1.0 / (1.0 + sigma * sigma);
        let v = alpha_bar.sqrt() * noise - (1.0 - alpha_bar).sqrt() * clean;
        for (prediction, output) in [(Prediction::Epsilon, noise), (Prediction::V, v)] {
            let mut denoiser = NetworkDenoiser {
                table: &table,
                prediction,
                network: |x: &Tensor, _| Ok(x.zeros_like()?.affine(1.0, output)?),
            };
            let guess = denoiser.denoise(&x, sigma).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert!((guess[0] - clean).abs() < 1e-12, "{prediction:?}: {guess:?}");
        }
    }

    /// x₀ and ε along the line, back from the velocity.
    #[test]
    fn a_velocity_of_flow_leads_to_the_clean_guess() {
        let table = SigmaTable::flow(1.15);
        let (clean, noise, sigma) = (0.7f64, -0.3f64, 0.6);
        let x = Tensor::new(&[[[[(1.0 - sigma) * clean + sigma * noise]]]], &Device::Cpu).unwrap();
        let mut denoiser = NetworkDenoiser {
            table: &table,
            prediction: Prediction::Flow,
            network: |x: &Tensor, time: f64| {
                assert_eq!(time, sigma);
                Ok(x.zeros_like()?.affine(1.0, noise - clean)?)
            },
        };
        let guess = denoiser.denoise(&x, sigma).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        assert!((guess[0] - clean).abs() < 1e-12, "{guess:?}");
    }

    #[test]
    fn guidance_of_one_is_the_prompt_alone() {
        let a = Tensor::new(&[1.0f32, 2.0], &Device::Cpu).unwrap();
        let b = Tensor::new(&[0.0f32, 5.0], &Device::Cpu).unwrap();
        assert_eq!(guide(&a, &b, 1.0).unwrap().to_vec1::<f32>().unwrap(), [1.0, 2.0]);
        assert_eq!(guide(&a, &b, 2.0).unwrap().to_vec1::<f32>().unwrap(), [2.0, -1.0]);
    }
}

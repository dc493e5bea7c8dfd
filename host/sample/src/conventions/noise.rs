//! Whose generator draws what.

use crate::{Engine, Generator, StepNoise, batch_noise, image_noise, indexed_noise};
use anyhow::{Result, bail};
use candle_core::{Device, Tensor};

/// The noise of a walk.
pub struct Noises {
    /// (b, c, h, w), of variance 1.
    pub start: Tensor,
    pub steps: StepNoise,
}

/// How a program seeds its generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseRule {
    /// One seed and one draw for the batch, always by the CPU's generator; steps take a fresh generator of the next seed
    /// (ComfyUI on a CPU).
    OneDrawForTheBatch,
    /// One generator per image, of seeds that count up from the first; it goes on through the steps (A1111).
    OneGeneratorPerImage,
    /// One generator for the batch, which goes on through the steps (diffusers).
    OneGeneratorGoesOn,
}

impl NoiseRule {
    /// The noise of a batch of shape (b, c, h, w). `indices`: the images' places in a larger batch, ComfyUI's
    /// `batch_index`; where images have seeds of their own these are counted from the first by them.
    /// `delta` is added to the seeds of the step noise (A1111's «Eta noise seed delta»); 0 where there is no such setting.
    ///
    /// # Errors
    /// When there are not as many indices as images.
    pub fn noise(
        self,
        engine: Engine,
        seed: u64,
        delta: u64,
        shape: (usize, usize, usize, usize),
        indices: Option<&[usize]>,
        device: &Device,
    ) -> Result<Noises> {
        let (b, c, h, w) = shape;
        if let Some(indices) = indices.filter(|i| i.len() != b) {
            bail!("expected {b} batch indices, one per image, found {}", indices.len());
        }
        Ok(match self {
            Self::OneDrawForTheBatch => {
                let mut rng = engine.generator(seed);
                let start = match indices {
                    Some(indices) => indexed_noise(&mut rng, indices, (c, h, w), device)?,
                    None => batch_noise(&mut rng, shape, device)?,
                };
                Noises { start, steps: StepNoise::from_seed(seed.wrapping_add(delta)) }
            }
            Self::OneGeneratorPerImage => {
                let of = |i: usize| seed.wrapping_add(indices.map_or(i, |indices| indices[i]) as u64);
                let mut rngs: Vec<Generator> = (0..b).map(|i| engine.generator(of(i))).collect();
                let start = image_noise(&mut rngs, shape, device)?;
                if delta != 0 {
                    rngs = (0..b).map(|i| engine.generator(of(i).wrapping_add(delta))).collect();
                }
                Noises { start, steps: StepNoise::PerImage { rngs, seeds: (0..b).map(of).collect() } }
            }
            Self::OneGeneratorGoesOn => {
                let mut rng = engine.generator(seed);
                let start = batch_noise(&mut rng, shape, device)?;
                Noises { start, steps: StepNoise::Batch { rng, seed } }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: (usize, usize, usize, usize) = (2, 4, 4, 4);

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn draw(rule: NoiseRule, seed: u64, delta: u64, indices: Option<&[usize]>) -> (Vec<f32>, Vec<f32>) {
        let mut noise = rule.noise(Engine::TorchCpu, seed, delta, SHAPE, indices, &Device::Cpu).unwrap();
        (flat(&noise.start), flat(&noise.steps.draw(&noise.start).unwrap()))
    }

    #[test]
    fn generators_go_on_or_begin_anew() {
        let stream = crate::rng::TorchCpu::new(5).randn(256);
        let (start, step) = draw(NoiseRule::OneGeneratorGoesOn, 5, 0, None);
        assert_eq!([start, step].concat(), stream);
        let (start, step) = draw(NoiseRule::OneDrawForTheBatch, 5, 0, None);
        assert_eq!(start, stream[..128]);
        assert_eq!(step, crate::rng::TorchCpu::new(6).randn(128));
    }

    #[test]
    fn images_have_their_own_generators() {
        let (start, step) = draw(NoiseRule::OneGeneratorPerImage, 5, 0, None);
        let second = crate::rng::TorchCpu::new(6).randn(128);
        assert_eq!((&start[64..], &step[64..]), (&second[..64], &second[64..]));
        let (same, other) = draw(NoiseRule::OneGeneratorPerImage, 5, 31337, None);
        assert_eq!(same, start);
        assert_eq!(other[..64], crate::rng::TorchCpu::new(5 + 31337).randn(64));
        let (moved, _) = draw(NoiseRule::OneGeneratorPerImage, 4, 0, Some(&[1, 2]));
        assert_eq!(moved, start);
    }
}

//! The fresh noise that stochastic samplers add at each step.

use super::{Engine, Generator, Tree};
use anyhow::{Result, bail};
use candle_core::{DType, Tensor};

/// Where a sampler takes its noise from, one draw at a time.
pub enum StepNoise {
    /// One generator for the whole batch, as ComfyUI does it; the seed is that of the Brownian tree.
    Batch { rng: Generator, seed: u64 },
    /// One generator and seed per image, so that an image does not depend on its neighbours in the batch.
    PerImage { rngs: Vec<Generator>, seeds: Vec<u64> },
    /// Draws made elsewhere, used in order.
    Given(std::vec::IntoIter<Tensor>),
}

impl StepNoise {
    /// The generator of a batch that was started with `seed`, as ComfyUI makes it on a CPU.
    ///
    /// It takes the next seed: with the same one, the first draw would be the start noise again
    /// (ComfyUI, `default_noise_sampler`).
    pub fn from_seed(seed: u64) -> Self {
        Self::Batch { rng: Engine::TorchCpu.generator(seed.wrapping_add(1)), seed }
    }

    /// The same as ComfyUI makes it on a CUDA device: another generator than the start noise has, so the same seed.
    pub fn from_seed_on_cuda(seed: u64) -> Self {
        Self::Batch { rng: Engine::Philox.generator(seed), seed }
    }

    /// One generator per image, each as [`StepNoise::from_seed`] makes it.
    pub fn from_seeds(seeds: &[u64]) -> Self {
        let rngs = seeds.iter().map(|seed| Engine::TorchCpu.generator(seed.wrapping_add(1))).collect();
        Self::PerImage { rngs, seeds: seeds.to_vec() }
    }

    /// Normal noise of the shape, type and device of `x`: (b, c, h, w).
    ///
    /// # Errors
    /// When there are not as many generators as images, or no draws left.
    pub fn draw(&mut self, x: &Tensor) -> Result<Tensor> {
        let noise = match self {
            Self::Batch { rng, .. } => Tensor::from_vec(rng.randn(x.elem_count()), x.shape(), x.device())?,
            Self::PerImage { rngs, .. } => super::image_noise(rngs, x.dims4()?, x.device())?,
            Self::Given(draws) => match draws.next() {
                Some(draw) => draw.reshape(x.shape())?.to_dtype(DType::F32)?.to_device(x.device())?,
                None => bail!("the sampler asked for more step noise than was given"),
            },
        };
        Ok(noise.to_dtype(x.dtype())?)
    }

    /// For samplers of stochastic differential equations: a path of Brownian motion over the sigmas.
    pub(crate) fn tree(&self, x: &Tensor, sigmas: &[f64], engine: Engine) -> Result<Tree> {
        let seeds: &[u64] = match self {
            Self::Batch { seed, .. } => &[*seed],
            Self::PerImage { seeds, .. } => {
                if seeds.len() != x.dim(0)? {
                    bail!("expected {} seeds of step noise, one per image, found {}", x.dim(0)?, seeds.len());
                }
                seeds
            }
            Self::Given(_) => &[],
        };
        Ok(Tree::new(x, sigmas, seeds, engine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn an_image_gets_the_same_noise_alone_and_in_a_batch() {
        let one = Tensor::zeros((1, 4, 6, 6), DType::F32, &Device::Cpu).unwrap();
        let two = Tensor::zeros((2, 4, 6, 6), DType::F32, &Device::Cpu).unwrap();
        let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let alone = flat(StepNoise::from_seed(8).draw(&one).unwrap());
        let both = flat(StepNoise::from_seeds(&[7, 8]).draw(&two).unwrap());
        assert_eq!(alone[..], both[144..]);
        assert!(StepNoise::from_seeds(&[7]).draw(&two).is_err());
        let sigmas = [2.0, 1.0, 0.5];
        let tree = |noise: &mut StepNoise, x: &Tensor| {
            flat(noise.tree(x, &sigmas, Engine::TorchCpu).unwrap().between(noise, 2.0, 1.0).unwrap())
        };
        let alone = tree(&mut StepNoise::from_seed(8), &one);
        let both = tree(&mut StepNoise::from_seeds(&[7, 8]), &two);
        assert_eq!(alone[..], both[144..]);
    }
}

//! The fresh noise that ancestral samplers add at each step.

use crate::rng::TorchCpu;
use anyhow::{Result, bail};
use candle_core::{DType, Tensor};

/// Where a sampler takes its noise from, one draw a step.
pub enum StepNoise {
    /// One generator for the whole batch, as ComfyUI does it.
    Batch(TorchCpu),
    /// One generator per image, so that an image does not depend on its neighbours in the batch.
    PerImage(Vec<TorchCpu>),
    /// Draws made elsewhere, used in order.
    Given(std::vec::IntoIter<Tensor>),
}

impl StepNoise {
    /// The generator of a batch that was started with `seed`.
    ///
    /// The step noise takes the next seed: with the same one, the first draw would be the start noise again.
    pub fn from_seed(seed: u64) -> Self {
        Self::Batch(TorchCpu::new(seed.wrapping_add(1)))
    }

    /// One generator per image, each as [`StepNoise::from_seed`] makes it.
    pub fn from_seeds(seeds: &[u64]) -> Self {
        Self::PerImage(seeds.iter().map(|seed| TorchCpu::new(seed.wrapping_add(1))).collect())
    }

    /// Normal noise of the shape, type and device of `x`: (b, c, h, w).
    ///
    /// # Errors
    /// When there are not as many generators as images, or no draws left.
    pub fn draw(&mut self, x: &Tensor) -> Result<Tensor> {
        let noise = match self {
            Self::Batch(rng) => Tensor::from_vec(rng.randn(x.elem_count()), x.shape(), x.device())?,
            Self::PerImage(rngs) => {
                let images = x.dim(0)?;
                if rngs.len() != images {
                    bail!("expected {images} generators of step noise, one per image, found {}", rngs.len());
                }
                let each = x.elem_count() / images.max(1);
                let all: Vec<f32> = rngs.iter_mut().flat_map(|rng| rng.randn(each)).collect();
                Tensor::from_vec(all, x.shape(), x.device())?
            }
            Self::Given(draws) => match draws.next() {
                Some(draw) => draw.reshape(x.shape())?.to_dtype(DType::F32)?,
                None => bail!("the sampler asked for more step noise than was given"),
            },
        };
        Ok(noise.to_dtype(x.dtype())?)
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
    }
}

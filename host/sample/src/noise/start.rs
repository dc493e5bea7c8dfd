//! The noise that a walk starts from.

use super::Generator;
use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};

/// One draw for the whole batch, (b, c, h, w) in float32: an image depends on its place in the batch (ComfyUI; diffusers
/// with one generator).
///
/// # Errors
/// When the tensor cannot be made.
pub fn batch_noise(rng: &mut Generator, shape: (usize, usize, usize, usize), device: &Device) -> Result<Tensor> {
    let (b, c, h, w) = shape;
    Ok(Tensor::from_vec(rng.randn(b * c * h * w), shape, device)?)
}

/// One draw per image, each from its own generator (A1111; diffusers with a list of generators).
///
/// # Errors
/// When there are not as many generators as images.
pub fn image_noise(rngs: &mut [Generator], shape: (usize, usize, usize, usize), device: &Device) -> Result<Tensor> {
    let (b, c, h, w) = shape;
    if rngs.len() != b {
        bail!("expected {b} generators of noise, one per image, found {}", rngs.len());
    }
    let all: Vec<f32> = rngs.iter_mut().flat_map(|rng| rng.randn(c * h * w)).collect();
    Ok(Tensor::from_vec(all, shape, device)?)
}

/// For images that were taken out of a larger batch: `indices` are their places in it, and each gets the noise that it
/// had there (ComfyUI, `prepare_noise` with `batch_index`). Shape (indices, c, h, w).
///
/// # Errors
/// When an index is far out of any batch, or there is none.
pub fn indexed_noise(
    rng: &mut Generator,
    indices: &[usize],
    (c, h, w): (usize, usize, usize),
    device: &Device,
) -> Result<Tensor> {
    const LARGEST: usize = 4096;
    let last = *indices.iter().max().context("expected at least one batch index, found none")?;
    if last >= LARGEST {
        bail!("expected batch indices below {LARGEST}, found {last}");
    }
    let draws: Vec<Vec<f32>> = (0..=last).map(|_| rng.randn(c * h * w)).collect();
    let all: Vec<f32> = indices.iter().flat_map(|&i| draws[i].iter().copied()).collect();
    Ok(Tensor::from_vec(all, (indices.len(), c, h, w), device)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Engine;

    fn flat(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn an_image_taken_out_of_a_batch_keeps_its_noise() {
        for engine in [Engine::TorchCpu, Engine::Philox] {
            let whole = indexed_noise(&mut engine.generator(9), &[0, 1, 2], (4, 6, 6), &Device::Cpu).unwrap();
            let some = indexed_noise(&mut engine.generator(9), &[2, 0, 2], (4, 6, 6), &Device::Cpu).unwrap();
            for (place, index) in [2, 0, 2].into_iter().enumerate() {
                assert_eq!(flat(&some.get(place).unwrap()), flat(&whole.get(index).unwrap()));
            }
        }
        // torch's CPU generator fills a batch of whole blocks image by image.
        let whole = batch_noise(&mut Engine::TorchCpu.generator(9), (3, 4, 6, 6), &Device::Cpu).unwrap();
        let one = indexed_noise(&mut Engine::TorchCpu.generator(9), &[1], (4, 6, 6), &Device::Cpu).unwrap();
        assert_eq!(flat(&one), flat(&whole.get(1).unwrap()));
    }

    #[test]
    fn an_image_of_its_own_seed_does_not_know_its_batch() {
        let engine = Engine::Philox;
        let mut rngs = [engine.generator(1), engine.generator(2)];
        let both = image_noise(&mut rngs, (2, 4, 6, 6), &Device::Cpu).unwrap();
        let alone = image_noise(&mut [engine.generator(2)], (1, 4, 6, 6), &Device::Cpu).unwrap();
        assert_eq!(flat(&both.get(1).unwrap()), flat(&alone));
        assert!(image_noise(&mut rngs, (3, 4, 6, 6), &Device::Cpu).is_err());
    }
}

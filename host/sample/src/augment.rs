//! Noise on what CLIP makes of a picture, so that a network takes less of it (Ramesh et al. 2022, arXiv:2204.06125).

use crate::Engine;
use std::f64::consts::FRAC_PI_2;

/// A picture in the space of texts.
pub struct Picture<'a> {
    pub embeds: &'a [f32],
    pub strength: f64,
    /// How much noise is put on it, 0…1.
    pub noise: f64,
}

/// Noise levels of the augmentation.
const LEVELS: usize = 1000;

/// The pictures as one text: the only one with its noise, times its strength; several so, added up, with a trace of noise
/// once more (ComfyUI, `unclip_adm`). All have as many features as the first.
pub fn picture_text(pictures: &[Picture<'_>], seed: u64) -> Vec<f32> {
    let level = |share: f64| ((LEVELS - 1) as f64 * share).round_ties_even() as usize;
    let mut sum = vec![0f32; pictures.first().map_or(0, |picture| picture.embeds.len())];
    let mut generator = Engine::TorchCpu.generator(seed);
    for picture in pictures {
        // Each from the beginning of the seed's stream.
        generator = Engine::TorchCpu.generator(seed);
        let drawn = generator.randn(picture.embeds.len());
        let (signal, noise) = shares(level(picture.noise));
        for ((sum, value), drawn) in sum.iter_mut().zip(picture.embeds).zip(drawn) {
            *sum += (signal * value + noise * drawn) * picture.strength as f32;
        }
    }
    if pictures.len() > 1 {
        let drawn = generator.randn(sum.len());
        let (signal, noise) = shares(0);
        for (value, drawn) in sum.iter_mut().zip(drawn) {
            *value = signal * *value + noise * drawn;
        }
    }
    sum
}

/// √ᾱ and √(1 − ᾱ) of a level, for betas by squared cosines (Nichol and Dhariwal 2021, arXiv:2102.09672).
fn shares(level: usize) -> (f32, f32) {
    let bar = |t: f64| ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
    let at = |i: usize| bar(i as f64 / LEVELS as f64);
    let product: f64 = (0..=level.min(LEVELS - 1)).map(|i| 1.0 - (1.0 - at(i + 1) / at(i)).min(0.999)).product();
    (product.sqrt() as f32, (1.0 - product).sqrt() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy: `a = np.cumprod(1 - betas_for_alpha_bar(1000, …))`, `np.sqrt(a)` at 0, 250, 500 and 999.
    #[test]
    fn shares_are_those_of_squared_cosines() {
        for (level, signal) in [(0, 0.999_979_4_f32), (250, 0.919_721_7), (500, 0.701_630_4), (999, 4.928_25e-5)] {
            let (found, rest) = shares(level);
            assert!((found - signal).abs() < 1e-6, "{level}: {found}");
            assert!((found * found + rest * rest - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn little_noise_leaves_the_picture_and_much_takes_it_away() {
        let embeds: Vec<f32> = (0..64).map(|i| (i as f32 * 0.3).sin()).collect();
        let one = |strength, noise| picture_text(&[Picture { embeds: &embeds, strength, noise }], 7);
        let off = |a: &[f32]| a.iter().zip(&embeds).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(off(&one(1.0, 0.0)) < 0.03);
        assert!(off(&one(1.0, 1.0)) > 0.5);
        let doubled: Vec<f32> = one(2.0, 0.0).iter().map(|v| v / 2.0).collect();
        assert!(off(&doubled) < 0.03);
        let half = |strength| Picture { embeds: &embeds, strength, noise: 0.0 };
        assert!(off(&picture_text(&[half(0.25), half(0.75)], 7)) < 0.06);
    }
}

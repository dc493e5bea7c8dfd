//! Random streams, one for each purpose and step, so that a run that was interrupted goes on with the same draws.

use sha2::{Digest, Sha256};

/// What a stream is for. Streams of different purposes are independent, so that switching on caption dropout, say,
/// does not change the noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Order of batches and of images in them; index: epoch.
    Order,
    /// Caption dropout, shuffling of tags; index: micro step.
    Caption,
    /// Noise that the network learns to see; index: micro step.
    Noise,
    /// Timesteps; index: micro step.
    Timestep,
    /// The VAE's own noise; index: micro step.
    Latent,
    /// Noise offset; index: micro step.
    NoiseOffset,
    /// Mirroring; index: micro step.
    Flip,
    /// The gradient check before the first step; index: tensor.
    Check,
    /// Crops and colours of a picture's versions, with the picture's hash as seed; index: version.
    Version,
    /// Which version of a picture is shown; index: micro step.
    Variant,
    /// Coarse levels of pyramid noise; index: micro step.
    Pyramid,
    /// Their sizes; index: micro step.
    PyramidSize,
    /// Noise that the network is not told of; index: micro step.
    HiddenNoise,
    /// Noise of the pictures that a validation looks at; index: picture and time.
    Validation,
    /// What networks leave out; index: micro step and module.
    Dropout,
}

/// Where shuffles and dropouts get their numbers from.
pub trait Dice {
    /// Uniform in 0..1.
    fn unit(&mut self) -> f64;
    /// Uniform in 0..n; `n` is at least 1.
    fn below(&mut self, n: usize) -> usize;
}

/// Fisher-Yates from the end, in the order of draws of Python's `random.shuffle`.
pub fn shuffle<T>(dice: &mut dyn Dice, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        let j = dice.below(i + 1);
        items.swap(i, j);
    }
}

/// xoshiro256++ (Blackman and Vigna 2019), started from SHA-256 of seed, purpose and index.
pub struct Stream {
    state: [u64; 4],
    spare: Option<f64>,
}

impl Stream {
    /// The stream of `purpose` number `index` in a run with `seed`.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"training stream");
        hash.update(seed.to_le_bytes());
        hash.update([purpose as u8]);
        hash.update(index.to_le_bytes());
        let bytes = hash.finalize();
        let mut state = [0; 4];
        for (word, chunk) in state.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().rev().fold(0, |w, &b| w << 8 | u64::from(b));
        }
        Self { state, spare: None }
    }

    fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Standard normal, by Box and Muller's method in f64.
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - unit lies in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let angle = std::f64::consts::TAU * self.unit();
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }

    /// `n` standard normals.
    pub fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal() as f32).collect()
    }
}

impl Dice for Stream {
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        // Draws that would make small numbers more likely are thrown away.
        let limit = u64::MAX - u64::MAX % n;
        loop {
            let draw = self.next();
            if draw < limit {
                return (draw % n) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_repeatable_and_apart() {
        let draw = |seed, purpose, index| Stream::new(seed, purpose, index).next();
        assert_eq!(draw(1, Purpose::Noise, 7), draw(1, Purpose::Noise, 7));
        assert_ne!(draw(1, Purpose::Noise, 7), draw(1, Purpose::Noise, 8));
        assert_ne!(draw(1, Purpose::Noise, 7), draw(2, Purpose::Noise, 7));
        assert_ne!(draw(1, Purpose::Noise, 7), draw(1, Purpose::Order, 7));
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let x = Stream::new(0, Purpose::Noise, 0).normals(100_000);
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.01 && (var - 1.0).abs() < 0.02, "{mean} {var}");
    }

    #[test]
    fn shuffle_keeps_all_and_reaches_every_place() {
        let mut seen = [[false; 4]; 4];
        for i in 0..100 {
            let mut items = [0, 1, 2, 3];
            shuffle(&mut Stream::new(0, Purpose::Order, i), &mut items);
            for (place, &item) in items.iter().enumerate() {
                seen[place][item] = true;
            }
            items.sort();
            assert_eq!(items, [0, 1, 2, 3]);
        }
        assert!(seen.iter().flatten().all(|&s| s));
    }
}

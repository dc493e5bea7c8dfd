//! Where noise comes from: generators, the start of a walk, and the fresh noise of its steps.

mod brownian;
mod start;
mod step;

pub use brownian::BrownianTree;
pub(crate) use brownian::Tree;
pub use start::{batch_noise, image_noise, indexed_noise};
pub use step::StepNoise;

use crate::rng::{Philox, TorchCpu};

/// Which generator draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// torch's generator for the CPU.
    TorchCpu,
    /// torch's generator for CUDA, computed here («NV» in A1111).
    Philox,
}

impl Engine {
    /// A generator at the beginning of a seed's stream.
    pub fn generator(self, seed: u64) -> Generator {
        match self {
            Self::TorchCpu => Generator::TorchCpu(TorchCpu::new(seed)),
            Self::Philox => Generator::Philox(Philox::new(seed)),
        }
    }
}

/// A stream of normal numbers.
#[derive(Clone)]
pub enum Generator {
    TorchCpu(TorchCpu),
    Philox(Philox),
}

impl Generator {
    /// The next `n` numbers of mean 0 and variance 1, as one draw.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        match self {
            Self::TorchCpu(rng) => rng.randn(n),
            Self::Philox(rng) => rng.randn(n),
        }
    }
}

//! What the nodes of custom sampling pass on.

use super::{Conditioning, Model};
use sample::Engine;
use spec::ObjectType;
use std::sync::Arc;

/// A method that walks along the noise levels.
#[derive(Clone, Copy, Debug)]
pub struct Sampler(pub &'static sample::Sampler);

impl ObjectType for Sampler {
    const SOCKET: &'static str = "SAMPLER";
}

/// Noise levels, one more than there are steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Sigmas(pub Vec<f64>);

impl ObjectType for Sigmas {
    const SOCKET: &'static str = "SIGMAS";
}

/// Where a walk's noise comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// One draw for the batch, as ComfyUI makes it.
    Random { seed: u64 },
    /// A generator for each picture, of seeds that count up; it goes on through the steps, as A1111 has it. `delta` is
    /// added to the seeds of the steps.
    PerImage { seed: u64, engine: Engine, delta: u64 },
    /// None at the start; steps that ask for some get that of seed 0.
    Off,
}

impl ObjectType for Noise {
    const SOCKET: &'static str = "NOISE";
}

/// A model with what leads it.
#[derive(Clone)]
pub struct Guider {
    pub model: Arc<Model>,
    pub guidance: Guidance,
}

impl ObjectType for Guider {
    const SOCKET: &'static str = "GUIDER";
}

/// What leads the pictures, and how strongly.
#[derive(Clone)]
pub enum Guidance {
    /// One prompt, once.
    Plain(Arc<Conditioning>),
    /// Away from the negative prompt, towards the positive one.
    Classifier { positive: Arc<Conditioning>, negative: Arc<Conditioning>, cfg: f64 },
    /// From the negative prompt to the second one, and from there to the first (Brooks et al. 2022, arXiv:2211.09800).
    Dual {
        first: Arc<Conditioning>,
        second: Arc<Conditioning>,
        negative: Arc<Conditioning>,
        first_cfg: f64,
        second_cfg: f64,
        /// The second factor is for both ways.
        nested: bool,
    },
}

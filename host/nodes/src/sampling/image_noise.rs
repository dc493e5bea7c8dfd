use crate::types::Noise;
use engine::{Context, TypedNode};
use sample::Engine;
use spec::Inputs;
use std::sync::Arc;

/// Noise of a seed for each picture of a batch, as AUTOMATIC1111's web UI draws it: the second picture is the one that the
/// next seed makes alone.
#[derive(Inputs)]
pub(crate) struct ImageNoise {
    /// Seed of the first picture; the others count up from it.
    #[input(default = 0, seed)]
    noise_seed: u64,
    /// The generator: that of CPUs, or that of NVIDIA GPUs («NV»), computed here.
    #[input(default = "NV", options = ["CPU", "NV"])]
    source: String,
    /// Added to the seeds for the noise of the steps («eta noise seed delta», ENSD).
    #[input(default = 0, range = 0..=4_294_967_295)]
    eta_seed_delta: u64,
}

impl TypedNode for ImageNoise {
    const ID: &'static str = "ImageNoise";
    const CATEGORY: &'static str = "sampling/custom_sampling/noise";
    const DISPLAY_NAME: &'static str = "Noise per Image (A1111)";
    const STRICT: bool = false;
    type Output = Arc<Noise>;

    fn run(self, _: &Context) -> anyhow::Result<Self::Output> {
        let engine = if self.source == "CPU" { Engine::TorchCpu } else { Engine::Philox };
        Ok(Arc::new(Noise::PerImage { seed: self.noise_seed, engine, delta: self.eta_seed_delta }))
    }
}

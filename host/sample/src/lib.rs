//! From noise to a clean latent: noise schedules, samplers, guidance and random numbers.
//!
//! Knows no model, no file and no graph. Everything works on a [`Denoiser`], a function from a noisy
//! latent and its sigma to a clean guess; what the network predicts and how it counts time is wrapped
//! away by [`NetworkDenoiser`]. Start there, then [`SAMPLERS`] and [`SCHEDULES`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod augment;
mod conventions;
mod denoiser;
mod inpaint;
mod job;
mod mix;
mod noise;
pub mod rng;
mod samplers;
mod schedules;
mod sigmas;

pub use augment::{Picture, picture_text};
pub use conventions::{
    CONVENTIONS, Convention, DIFFUSERS, DiffusersScheduler, NoiseRule, Noises, Options, Partial, Plan, Spacing, Spread,
    Start, convention, flow_plan, flux_mu,
};
pub use denoiser::{Denoiser, NetworkDenoiser, Prediction, guide};
pub use inpaint::{Differential, Inpaint};
pub use job::{keep_steps, list_of_sigmas};
pub use mix::Mix;
pub use noise::{BrownianTree, Engine, Generator, StepNoise, batch_noise, image_noise, indexed_noise};
pub use samplers::{SAMPLERS, Sampler, StepInfo, sampler};
pub use schedules::{SCHEDULES, Schedule, beta_of_shape, exponential_between, karras_between, schedule};
pub use sigmas::{SigmaTable, TimeRule};

//! From noise to latents.

mod add_noise;
mod basic_guider;
mod basic_scheduler;
mod beside;
#[cfg(test)]
mod beside_tests;
mod beta_sampling_scheduler;
mod cfg_guider;
mod control;
#[cfg(test)]
mod control_tests;
mod differential_diffusion;
mod disable_noise;
mod dual_cfg_guider;
mod exponential_scheduler;
mod flip_sigmas;
#[cfg(test)]
mod goldens;
mod guide;
mod image_noise;
mod k_sampler;
mod k_sampler_advanced;
mod k_sampler_select;
mod karras_scheduler;
mod leads;
mod model_sampling_continuous_edm;
mod model_sampling_discrete;
mod model_sampling_flux;
mod preview;
mod random_noise;
mod sampler_custom;
mod sampler_custom_advanced;
mod sd_turbo_scheduler;
mod set_first_sigma;
mod split_sigmas;
mod split_sigmas_denoise;
#[cfg(test)]
pub(crate) mod tests;
mod unclip;
mod walk;

use crate::Make;
use engine::node;
pub use preview::PreviewMethod;
pub(crate) use walk::{Start, Walk, same_length, sampler_names, scheduler_names, walk};

pub(crate) const NODES: &[Make] = &[
    node::<k_sampler::KSampler>,
    node::<k_sampler_advanced::KSamplerAdvanced>,
    node::<sampler_custom::SamplerCustom>,
    node::<sampler_custom_advanced::SamplerCustomAdvanced>,
    node::<k_sampler_select::KSamplerSelect>,
    node::<basic_scheduler::BasicScheduler>,
    node::<karras_scheduler::KarrasScheduler>,
    node::<exponential_scheduler::ExponentialScheduler>,
    node::<beta_sampling_scheduler::BetaSamplingScheduler>,
    node::<sd_turbo_scheduler::SDTurboScheduler>,
    node::<split_sigmas::SplitSigmas>,
    node::<split_sigmas_denoise::SplitSigmasDenoise>,
    node::<flip_sigmas::FlipSigmas>,
    node::<set_first_sigma::SetFirstSigma>,
    node::<random_noise::RandomNoise>,
    node::<image_noise::ImageNoise>,
    node::<disable_noise::DisableNoise>,
    node::<add_noise::AddNoise>,
    node::<basic_guider::BasicGuider>,
    node::<cfg_guider::CFGGuider>,
    node::<dual_cfg_guider::DualCFGGuider>,
    node::<model_sampling_flux::ModelSamplingFlux>,
    node::<model_sampling_discrete::ModelSamplingDiscrete>,
    node::<model_sampling_continuous_edm::ModelSamplingContinuousEDM>,
    node::<differential_diffusion::DifferentialDiffusion>,
];

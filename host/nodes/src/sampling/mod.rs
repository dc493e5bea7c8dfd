//! From noise to latents.

mod k_sampler;
mod k_sampler_advanced;
#[cfg(test)]
pub(crate) mod tests;
mod walk;

use crate::Make;
use engine::node;
pub(crate) use walk::{Guidance, Start, Walk, same_length, sampler_names, scheduler_names};

pub(crate) const NODES: &[Make] = &[node::<k_sampler::KSampler>, node::<k_sampler_advanced::KSamplerAdvanced>];

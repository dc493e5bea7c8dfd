//! What programs decide differently around the same samplers, as values.
//!
//! Guidance is none of it: ComfyUI and A1111 guide clean guesses, diffusers the network's outputs, but at one noise level
//! the guess is a linear function of the output, so that both are one.

mod diffusers;
mod noise;

pub use diffusers::{DIFFUSERS, DiffusersScheduler, Options, Plan, Spacing, Spread, flow_plan, flux_mu};
pub use noise::{NoiseRule, Noises};

use crate::{Sampler, Schedule, SigmaTable, TimeRule, list_of_sigmas};
use anyhow::{Result, bail};
use candle_core::Tensor;

/// The programs, in the order of their mention in the docs.
pub const CONVENTIONS: &[Convention] = &[COMFYUI, A1111, DIFFUSERS_LIKE];

const COMFYUI: Convention = Convention {
    name: "comfyui",
    time: || TimeRule::Nearest,
    start: Start::VarianceAtTheTop,
    noise: NoiseRule::OneDrawForTheBatch,
    partial: Partial::EndOfALongerPlan,
};

const A1111: Convention = Convention {
    name: "a1111",
    time: || TimeRule::Between,
    start: Start::Sigma,
    noise: NoiseRule::OneGeneratorPerImage,
    partial: Partial::ShareOfTheSteps { most: 0.999, one_more: true },
};

const DIFFUSERS_LIKE: Convention = Convention {
    name: "diffusers",
    time: || TimeRule::Between,
    start: Start::Sigma,
    noise: NoiseRule::OneGeneratorGoesOn,
    partial: Partial::ShareOfTheSteps { most: 1.0, one_more: false },
};

/// One program's choices. For diffusers they are those of its Euler scheduler with `linspace`; its others differ among
/// each other and are rows of [`DIFFUSERS`].
#[derive(Clone, Copy, Debug)]
pub struct Convention {
    pub name: &'static str,
    /// How a sigma becomes a timestep.
    pub time: fn() -> TimeRule,
    pub start: Start,
    pub noise: NoiseRule,
    pub partial: Partial,
}

/// What start noise is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// √(1 + σ²) at the top of the table, else σ.
    VarianceAtTheTop,
    /// σ.
    Sigma,
    /// √(1 + σ²).
    Variance,
}

/// Which sigmas a partial denoise walks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Partial {
    /// All steps that were asked for, of a plan that is longer by 1 / share.
    EndOfALongerPlan,
    /// int(min(share, most) · steps) steps at the end of the plan, or one more.
    ShareOfTheSteps { most: f64, one_more: bool },
}

/// The convention of this name, if there is one.
pub fn convention(name: &str) -> Option<&'static Convention> {
    CONVENTIONS.iter().find(|c| c.name == name)
}

impl Convention {
    /// The sigmas that are walked; `denoise` from 0 to 1 is the share that is made anew.
    ///
    /// # Errors
    /// When the steps or the share make no sense.
    pub fn sigmas(
        &self,
        sampler: &Sampler,
        schedule: &Schedule,
        table: &SigmaTable,
        steps: usize,
        denoise: f64,
    ) -> Result<Vec<f64>> {
        let Partial::ShareOfTheSteps { most, one_more } = self.partial else {
            return list_of_sigmas(sampler, schedule, table, steps, denoise);
        };
        if !(0.0..=1.0).contains(&denoise) {
            bail!("expected denoise from 0 to 1, found {denoise}");
        }
        let all = list_of_sigmas(sampler, schedule, table, steps, 1.0)?;
        if denoise >= 1.0 {
            return Ok(all);
        }
        let walked = (denoise.min(most) * steps as f64) as usize + usize::from(one_more);
        Ok(all[all.len().saturating_sub(walked + 1)..].to_vec())
    }

    /// The latent that sampling starts from, all (b, c, h, w).
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn start(&self, table: &SigmaTable, sigma: f64, latent: &Tensor, noise: &Tensor) -> Result<Tensor> {
        match self.start {
            Start::VarianceAtTheTop => table.start(sigma, latent, noise),
            Start::Sigma => table.noisy(sigma, latent, noise),
            Start::Variance => Ok((latent + (noise * (1.0 + sigma * sigma).sqrt())?)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sampler, schedule};

    #[test]
    fn each_program_walks_its_own_part() {
        let (euler, karras, table) = (sampler("euler").unwrap(), schedule("karras").unwrap(), SigmaTable::sd15());
        let walked = |name: &str, steps, denoise| {
            convention(name).unwrap().sigmas(euler, karras, &table, steps, denoise).unwrap().len() - 1
        };
        assert_eq!(walked("comfyui", 20, 0.5), 20);
        assert_eq!(walked("a1111", 20, 0.5), 11);
        assert_eq!(walked("diffusers", 20, 0.5), 10);
        for name in ["comfyui", "a1111", "diffusers"] {
            assert_eq!(walked(name, 20, 1.0), 20);
        }
    }

    #[test]
    fn names_are_unique() {
        for (i, row) in CONVENTIONS.iter().enumerate() {
            assert!(CONVENTIONS[..i].iter().all(|other| other.name != row.name), "{} twice", row.name);
        }
        assert!(convention("invoke").is_none());
    }
}

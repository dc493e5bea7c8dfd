//! Pictures that are made while training, to see how far it is.

use super::{Problems, Section};
use crate::sample_prompts::SamplePrompt;
use serde::{Deserialize, Serialize};

/// Pictures that are made while training, to see how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleOptions {
    /// What is made: a prompt a line, with sd-scripts' flags `--n` (what to avoid), `--w`, `--h`, `--d` (seed), `--s`
    /// (steps), `--l` (guidance), `--g` (guidance of Flux), `--ss` (sampler). Default: none.
    pub sample_prompts: String,
    /// Optimizer steps from one set of pictures to the next. Default: they are made at the end only.
    pub sample_every: Option<u64>,
    /// Make pictures before the first step, too. Default true.
    pub sample_at_first: bool,
    /// The sampler, by ComfyUI's name, for prompts that name none. Default `euler`.
    pub sample_sampler: String,
    /// The schedule of noise levels, by ComfyUI's name. Default `normal`.
    pub sample_scheduler: String,
    /// Sampling steps, for prompts that do not say. Default 20.
    pub sample_steps: u32,
    /// Strength of the network in these pictures. Default 1.
    pub sample_strength: f64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            sample_prompts: String::new(),
            sample_every: None,
            sample_at_first: true,
            sample_sampler: "euler".into(),
            sample_scheduler: "normal".into(),
            sample_steps: 20,
            sample_strength: 1.0,
        }
    }
}

impl SampleOptions {
    /// The prompts with their flags.
    ///
    /// # Errors
    /// A flag that is not known, or has no value.
    pub fn prompts(&self) -> anyhow::Result<Vec<SamplePrompt>> {
        SamplePrompt::parse_lines(&self.sample_prompts)
    }

    /// Are pictures made after this step of so many?
    pub(crate) fn due(&self, step: u64, total: u64) -> bool {
        let regular = step > 0 && self.sample_every.is_some_and(|n| step.is_multiple_of(n));
        !self.sample_prompts.trim().is_empty() && (regular || step == total || (step == 0 && self.sample_at_first))
    }
}

impl Section for SampleOptions {
    fn check(&self, problems: &mut Problems) {
        let named = self.prompts().and_then(|all| all.iter().try_for_each(|p| p.sampler().map(drop)));
        problems.found(named.map_err(|e| e.context("`sample_prompts`")));
        problems.at_least_one("sample_every", self.sample_every.unwrap_or(1));
        problems.at_least_one("sample_steps", self.sample_steps.into());
        problems.found(sample::sampler(&self.sample_sampler).map_err(|e| e.context("`sample_sampler`")));
        problems.found(sample::schedule(&self.sample_scheduler).map_err(|e| e.context("`sample_scheduler`")));
        problems.want(self.sample_strength.is_finite(), "`sample_strength`: expected a finite number");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_due_at_both_ends_and_between() {
        let options = SampleOptions { sample_prompts: "a fox".into(), sample_every: Some(4), ..Default::default() };
        let due: Vec<u64> = (0..=10).filter(|&step| options.due(step, 10)).collect();
        assert_eq!(due, [0, 4, 8, 10]);
        let only_last = SampleOptions { sample_every: None, sample_at_first: false, ..options };
        assert_eq!((0..=10).filter(|&step| only_last.due(step, 10)).collect::<Vec<_>>(), [10]);
        assert!((0..=10).all(|step| !SampleOptions::default().due(step, 10)), "no prompts, no pictures");
    }
}

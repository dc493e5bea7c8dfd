//! What a training run is asked to do. Every key has a default; an unknown key is an error that lists the known ones.
//!
//! In JSON all keys stand side by side, as in the configurations of other trainers; here they are sections, each with
//! its own file. To add a key: a field of its section. To add a section: a file, and a line in the list below.

mod captions;
mod images;
mod keys;
mod loss;
mod lr;
mod memory;
mod network;
mod noise;
mod optimizer;
mod run;
mod samples;
mod saving;
mod section;
mod validation;

pub use captions::CaptionOptions;
pub use images::{ImageOptions, Resolution};
pub use keys::{ConfigKey, config_keys};
pub use loss::LossOptions;
pub use lr::LrOptions;
pub use memory::{BaseDtype, MemoryOptions};
pub use network::NetworkOptions;
pub use noise::NoiseOptions;
pub use optimizer::{OptimizerOptions, Rates};
pub use run::RunOptions;
pub use samples::SampleOptions;
pub use saving::SavingOptions;
pub(crate) use section::{Problems, Section};
pub use validation::ValidationOptions;

use crate::lr_schedules::Curve;
use crate::optimizers;
use anyhow::{Context, Result, bail, ensure};

section::sections! {
    /// Settings of a training run.
    Config {
        run: RunOptions,
        network: NetworkOptions,
        optimizer: OptimizerOptions,
        lr: LrOptions,
        loss: LossOptions,
        noise: NoiseOptions,
        images: ImageOptions,
        captions: CaptionOptions,
        saving: SavingOptions,
        validation: ValidationOptions,
        samples: SampleOptions,
        memory: MemoryOptions,
    }
}

impl Config {
    /// A configuration from JSON; keys that are left out have their defaults.
    ///
    /// # Errors
    /// All unknown keys and all values that cannot be, at once.
    pub fn from_json(text: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(text).context("training configuration")?;
        config.check()?;
        Ok(config)
    }

    /// This configuration with some keys changed: `changes` is a JSON object.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn with(&self, changes: serde_json::Value) -> Result<Self> {
        let mut all = serde_json::to_value(self)?;
        let (Some(all_keys), serde_json::Value::Object(changes)) = (all.as_object_mut(), changes) else {
            bail!("training configuration: expected a JSON object");
        };
        all_keys.extend(changes);
        Self::from_json(&all.to_string())
    }

    /// These settings without those that change nothing about the result: two runs whose settings are equal here can go
    /// on from each other's state.
    pub(crate) fn identity(&self) -> Self {
        let mut same = self.clone();
        same.saving.state_every = 1;
        same.samples = SampleOptions::default();
        same
    }

    /// All problems of the numbers and names at once.
    pub fn check(&self) -> Result<()> {
        let mut problems = Problems::default();
        self.sections().into_iter().for_each(|section| section.check(&mut problems));
        let problems = problems.list();
        ensure!(problems.is_empty(), "training configuration: {}", problems.join("; "));
        Ok(())
    }

    /// The learning rate schedule: what was asked for, else the optimizer's own.
    pub fn lr_schedule(&self) -> &str {
        let own = || optimizers::find(&self.optimizer.kind).map_or("constant", |row| row.schedule);
        self.lr.schedule.as_deref().unwrap_or_else(own)
    }

    /// What will make a run worse than it could be, though it is allowed.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut all = self.optimizer.warnings(self.network.train_text_encoder);
        let (row, schedule) = (optimizers::find(&self.optimizer.kind), self.lr_schedule());
        if let Ok(row) = row
            && row.averages
            && schedule != row.schedule
        {
            let name = row.name;
            all.push(format!(
                "`lr_schedule` is {schedule}, but {name} averages instead of lowering the rate; leave it out"
            ));
        }
        all
    }

    /// The shape of the learning rate over a run of `total` optimizer steps.
    pub fn curve(&self, total: u64) -> Curve {
        self.lr.curve(self.optimizer.learning_rate(), total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        Config::default().check().unwrap();
        assert_eq!(Config::from_json("{}").unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_an_error_that_lists_the_known_ones() {
        let error = format!("{:#}", Config::from_json(r#"{"learning_rat": 1e-4}"#).unwrap_err());
        assert!(error.contains("learning_rat") && error.contains("`learning_rate`"), "{error}");
        assert!(error.contains("min_snr_gamma"), "{error}");
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let text = r#"{"rank": 0, "optimizer": "adamx", "steps": 5, "epochs": 5, "caption_dropout": 2}"#;
        let error = format!("{:#}", Config::from_json(text).unwrap_err());
        for part in ["`rank`", "adamx", "not both", "`caption_dropout`"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn keep_tokens_must_agree_with_the_activation_tags() {
        let text = r#"{"keep_tokens": 0, "activation_tags": ["ohwx"]}"#;
        let error = format!("{:#}", Config::from_json(text).unwrap_err());
        assert!(error.contains("ohwx") && error.contains("keep_tokens"), "{error}");
        Config::from_json(r#"{"keep_tokens": 1, "activation_tags": ["ohwx"]}"#).unwrap();
    }

    #[test]
    fn epochs_become_steps() {
        let steps = |text: &str, per_epoch| Config::from_json(text).unwrap().run.total_steps(per_epoch);
        assert_eq!(steps(r#"{"epochs": 3}"#, 7).unwrap(), 21);
        assert_eq!(steps(r#"{"steps": 400}"#, 7).unwrap(), 400);
        assert!(steps("{}", 0).is_err());
    }

    #[test]
    fn json_and_back_is_the_same() {
        let config = Config::from_json(r#"{"rank": 4, "betas": [0.9, 0.95], "activation_tags": ["ohwx"]}"#).unwrap();
        assert_eq!((config.network.rank, config.optimizer.betas), (4, Some((0.9, 0.95))));
        assert_eq!(Config::from_json(&serde_json::to_string(&config).unwrap()).unwrap(), config);
        let error = format!("{:#}", Config::from_json(r#"{"rank": "four", "lr_power": []}"#).unwrap_err());
        assert!(error.contains("`rank`") && error.contains("`lr_power`"), "{error}");
    }
}

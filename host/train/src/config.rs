//! What a training run is asked to do. Every key has a default; an unknown key is an error that lists the known ones.

use crate::captions::Pipeline;
use crate::losses::{HuberSchedule, Prediction};
use crate::lr_schedules::Curve;
use crate::networks::Targets;
use crate::optimizers::Settings;
use crate::safetensors_file::SaveDtype;
use crate::{losses, lr_schedules, networks, optimizers};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// Settings of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Stem of the saved files' names. Default `lora`.
    pub output_name: String,
    /// Seed of everything that is drawn by chance. Default 0.
    pub seed: u64,

    /// What is trained on top of the base: a row of `NETWORKS`. Default `lora`.
    pub network: String,
    /// Rank of the added matrices, 1 to 1024. Default 16.
    pub rank: usize,
    /// Scale of what is added is alpha / rank. Default: the rank, so that the scale is 1.
    pub alpha: Option<f64>,
    /// Which layers get a network: `attention`, or `attention+feed-forward` (sd-scripts' set). Default the latter.
    pub targets: Targets,
    /// Train the UNet. Default true.
    pub train_unet: bool,
    /// Train the text encoder, too. Default false.
    pub train_text_encoder: bool,

    /// Length of the run in optimizer steps. Give this or `epochs`.
    pub steps: Option<u64>,
    /// Length of the run in passes over the images with their repeats. Default 10, unless `steps` is given.
    pub epochs: Option<u64>,
    /// Images in a batch. Default 2.
    pub batch_size: usize,
    /// Batches whose gradients are averaged for one optimizer step. Default 1.
    pub gradient_accumulation: u64,

    /// A row of `OPTIMIZERS`. Default `adamw`.
    pub optimizer: String,
    /// Learning rate of the UNet's network. Default 5e-4.
    pub learning_rate: f64,
    /// Learning rate of the text encoder's network. Default: half of `learning_rate`.
    pub text_encoder_lr: Option<f64>,
    /// Decay of the optimizer's running means. Default: the optimizer's own.
    pub betas: Option<(f64, f64)>,
    /// Added to the optimizer's denominator. Default: the optimizer's own.
    pub eps: Option<f64>,
    /// Weight decay. Default: the optimizer's own.
    pub weight_decay: Option<f64>,
    /// Momentum (sgd). Default: the optimizer's own.
    pub momentum: Option<f64>,
    /// Gradients are scaled down so that their norm is at most this; 0: never. Default 1.
    pub max_grad_norm: f64,

    /// A row of `LR_SCHEDULES`. Default `cosine_with_restarts`.
    pub lr_schedule: String,
    /// Warm-up in optimizer steps, or below 1 as a share of all steps. Default 0.05.
    pub lr_warmup: f64,
    /// Number of cosine waves (`cosine_with_restarts`). Default 3.
    pub lr_cycles: u32,
    /// Exponent (`polynomial`). Default 1.
    pub lr_power: f64,
    /// Lowest rate as a share of the full one (`cosine_with_min_lr`, `warmup_stable_decay`). Default 0.1.
    pub lr_min_ratio: f64,
    /// Steps of the fall to 0.71 (`inverse_sqrt`). Default: the warm-up, or 10000 without one.
    pub lr_timescale: Option<u64>,
    /// Length of the fall (`warmup_stable_decay`) in steps, or below 1 as a share of all steps. Default 0.2.
    pub lr_decay: f64,

    /// A row of `LOSSES`. Default `l2`.
    pub loss: String,
    /// A row of `WEIGHTINGS`. Default `min_snr`.
    pub loss_weighting: String,
    /// Gamma of `min_snr`. Default 5.
    pub min_snr_gamma: f64,
    /// Where Huber losses turn from square to linear. Default 0.1.
    pub huber_c: f64,
    /// How `huber_c` depends on the timestep: `constant`, `exponential` or `snr`. Default `snr`.
    pub huber_schedule: HuberSchedule,
    /// What the network outputs: `epsilon` or `v`. Default: what the base was trained for.
    pub prediction: Option<Prediction>,
    /// Strength of the noise offset. Default 0.
    pub noise_offset: f64,
    /// Lowest timestep that is drawn. Default 0.
    pub min_timestep: u32,
    /// One more than the highest timestep that is drawn. Default: all.
    pub max_timestep: Option<u32>,
    /// Count the loss only where the image is opaque. Default false.
    pub masked_loss: bool,

    /// Edge of a square image in pixels; other shapes have about its area. Default: the base's own size.
    pub resolution: Option<u32>,
    /// Group images by shape instead of cropping all to a square. Default true.
    pub buckets: bool,
    /// Shortest edge of a bucket in pixels. Default: half the resolution.
    pub bucket_min: Option<u32>,
    /// Longest edge of a bucket in pixels. Default: twice the resolution.
    pub bucket_max: Option<u32>,
    /// Edges of buckets are multiples of this, in pixels. Default: what the base needs, 64 for full-size bases.
    pub bucket_step: Option<u32>,
    /// Never enlarge an image. Default false.
    pub bucket_no_upscale: bool,
    /// Mirror images at random. Default false: it mixes up left and right.
    pub flip: bool,

    /// Shuffle tags at each step. Captions in sentences are never shuffled. Default true.
    pub shuffle_tags: bool,
    /// Tags in front that keep their places. Default: as many as all captions have in common, or as there are
    /// activation tags.
    pub keep_tokens: Option<usize>,
    /// Tags that call up what is trained; every caption must start with them. Default: none.
    pub activation_tags: Vec<String>,
    /// Share of steps with an empty caption. Default 0.
    pub caption_dropout: f64,
    /// Share of tags that are left out at each step. Default 0.
    pub tag_dropout: f64,
    /// Choose one of `{a|b}` in captions. Default false.
    pub wildcards: bool,
    /// Take the text states this many layers before the end; 1 is the last. Default 1, some anime bases want 2.
    pub clip_skip: usize,
    /// Accept images without a caption. Default false.
    pub allow_missing_captions: bool,

    /// Save a checkpoint every so many optimizer steps. Default: none but the last.
    pub save_every_steps: Option<u64>,
    /// Save a checkpoint every so many epochs. Default: none but the last.
    pub save_every_epochs: Option<u64>,
    /// Keep only so many of the checkpoints before the last. Default: all.
    pub keep_checkpoints: Option<usize>,
    /// Save the training state every so many optimizer steps; it is also saved with each checkpoint. Default 25.
    pub state_every: u64,
    /// Number format of saved networks: `f16`, `bf16` or `f32`. Default `f16`.
    pub save_dtype: SaveDtype,
    /// Free text for the file's metadata. Default: none.
    pub comment: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            output_name: "lora".into(),
            seed: 0,
            network: "lora".into(),
            rank: 16,
            alpha: None,
            targets: Targets::default(),
            train_unet: true,
            train_text_encoder: false,
            steps: None,
            epochs: None,
            batch_size: 2,
            gradient_accumulation: 1,
            optimizer: "adamw".into(),
            learning_rate: 5e-4,
            text_encoder_lr: None,
            betas: None,
            eps: None,
            weight_decay: None,
            momentum: None,
            max_grad_norm: 1.0,
            lr_schedule: "cosine_with_restarts".into(),
            lr_warmup: 0.05,
            lr_cycles: 3,
            lr_power: 1.0,
            lr_min_ratio: 0.1,
            lr_timescale: None,
            lr_decay: 0.2,
            loss: "l2".into(),
            loss_weighting: "min_snr".into(),
            min_snr_gamma: 5.0,
            huber_c: 0.1,
            huber_schedule: HuberSchedule::default(),
            prediction: None,
            noise_offset: 0.0,
            min_timestep: 0,
            max_timestep: None,
            masked_loss: false,
            resolution: None,
            buckets: true,
            bucket_min: None,
            bucket_max: None,
            bucket_step: None,
            bucket_no_upscale: false,
            flip: false,
            shuffle_tags: true,
            keep_tokens: None,
            activation_tags: Vec::new(),
            caption_dropout: 0.0,
            tag_dropout: 0.0,
            wildcards: false,
            clip_skip: 1,
            allow_missing_captions: false,
            save_every_steps: None,
            save_every_epochs: None,
            keep_checkpoints: None,
            state_every: 25,
            save_dtype: SaveDtype::default(),
            comment: String::new(),
        }
    }
}

impl Config {
    /// A configuration from JSON; keys that are left out have their defaults.
    pub fn from_json(text: &str) -> Result<Self> {
        let config: Self = serde_json::from_str(text).context("training configuration")?;
        config.check()?;
        Ok(config)
    }

    /// All problems of the numbers and names at once.
    pub fn check(&self) -> Result<()> {
        let mut problems: Vec<String> = Vec::new();
        let rows = [
            networks::find(&self.network).map(|_| ()),
            optimizers::find(&self.optimizer).map(|_| ()),
            lr_schedules::find(&self.lr_schedule).map(|_| ()),
            losses::find(&self.loss).map(|_| ()),
            losses::find_weighting(&self.loss_weighting).map(|_| ()),
        ];
        problems.extend(rows.into_iter().filter_map(Result::err).map(|e| e.to_string()));
        let mut want = |ok: bool, text: String| {
            if !ok {
                problems.push(text);
            }
        };
        let name_ok = !self.output_name.is_empty() && !self.output_name.contains(['/', '\\', '\0']);
        want(name_ok, format!("`output_name`: expected a file's stem, found {:?}", self.output_name));
        want((1..=1024).contains(&self.rank), format!("`rank`: expected 1 to 1024, found {}", self.rank));
        let counts = [
            ("batch_size", self.batch_size as u64),
            ("gradient_accumulation", self.gradient_accumulation),
            ("state_every", self.state_every),
            ("clip_skip", self.clip_skip as u64),
            ("steps", self.steps.unwrap_or(1)),
            ("epochs", self.epochs.unwrap_or(1)),
            ("save_every_steps", self.save_every_steps.unwrap_or(1)),
            ("save_every_epochs", self.save_every_epochs.unwrap_or(1)),
            ("lr_cycles", u64::from(self.lr_cycles)),
        ];
        for (key, value) in counts {
            want(value > 0, format!("`{key}`: expected at least 1, found 0"));
        }
        want(self.steps.is_none() || self.epochs.is_none(), "give `steps` or `epochs`, not both".into());
        want(
            self.train_unet || self.train_text_encoder,
            "nothing to train: `train_unet` and `train_text_encoder` are both false".into(),
        );
        let positive = [
            ("learning_rate", self.learning_rate),
            ("text_encoder_lr", self.text_encoder_lr()),
            ("alpha", self.alpha()),
            ("min_snr_gamma", self.min_snr_gamma),
            ("huber_c", self.huber_c),
        ];
        for (key, value) in positive {
            want(value > 0.0 && value.is_finite(), format!("`{key}`: expected a number above 0, found {value}"));
        }
        let not_negative = [
            ("max_grad_norm", self.max_grad_norm),
            ("lr_warmup", self.lr_warmup),
            ("lr_decay", self.lr_decay),
            ("noise_offset", self.noise_offset),
            ("weight_decay", self.weight_decay.unwrap_or(0.0)),
        ];
        for (key, value) in not_negative {
            want(value >= 0.0 && value.is_finite(), format!("`{key}`: expected 0 or more, found {value}"));
        }
        let (b1, b2) = self.optimizer_settings().map(|s| s.betas).unwrap_or_default();
        let shares = [
            ("caption_dropout", self.caption_dropout),
            ("tag_dropout", self.tag_dropout),
            ("lr_min_ratio", self.lr_min_ratio),
        ];
        for (key, value) in shares {
            want((0.0..=1.0).contains(&value), format!("`{key}`: expected 0 to 1, found {value}"));
        }
        let betas_ok = (0.0..1.0).contains(&b1) && (0.0..1.0).contains(&b2);
        want(betas_ok, format!("`betas`: expected two numbers from 0 to below 1, found {b1} and {b2}"));
        let activation = self.activation_tags.len();
        if let Some(keep) = self.keep_tokens
            && self.shuffle_tags
        {
            want(
                activation == 0 || keep == activation,
                format!(
                    "`keep_tokens` is {keep}, but there are {activation} activation tags ({}): shuffling would move \
                     them, or hold others in place; set it to {activation}, or leave it out",
                    self.activation_tags.join(", ")
                ),
            );
        }
        ensure!(problems.is_empty(), "training configuration: {}", problems.join("; "));
        Ok(())
    }

    /// Alpha, which is the rank if nothing else was said.
    pub fn alpha(&self) -> f64 {
        self.alpha.unwrap_or(self.rank as f64)
    }

    /// Learning rate of the text encoder's network.
    pub fn text_encoder_lr(&self) -> f64 {
        self.text_encoder_lr.unwrap_or(self.learning_rate / 2.0)
    }

    /// The optimizer's numbers: what was asked for, else its row's.
    pub fn optimizer_settings(&self) -> Result<Settings> {
        let d = optimizers::find(&self.optimizer)?.defaults;
        Ok(Settings {
            betas: self.betas.unwrap_or(d.betas),
            eps: self.eps.unwrap_or(d.eps),
            weight_decay: self.weight_decay.unwrap_or(d.weight_decay),
            momentum: self.momentum.unwrap_or(d.momentum),
        })
    }

    /// The shape of the learning rate over a run of `total` optimizer steps.
    pub fn curve(&self, total: u64) -> Curve {
        let steps = |value: f64| if value < 1.0 { (value * total as f64).floor() as u64 } else { value as u64 };
        Curve {
            cycles: f64::from(self.lr_cycles),
            power: self.lr_power,
            min_ratio: self.lr_min_ratio,
            timescale: self.lr_timescale,
            decay: steps(self.lr_decay),
            ..Curve::new(self.learning_rate, total, steps(self.lr_warmup))
        }
    }

    /// What is done to captions, with `keep_tokens` tags held in front.
    pub fn captions(&self, keep_tokens: usize) -> Pipeline {
        Pipeline {
            dropout: self.caption_dropout,
            tag_dropout: self.tag_dropout,
            shuffle: self.shuffle_tags,
            wildcards: self.wildcards,
            keep_tokens,
            ..Pipeline::default()
        }
    }

    /// Optimizer steps of a run with so many of them in an epoch.
    pub fn total_steps(&self, steps_per_epoch: u64) -> Result<u64> {
        let total = match (self.steps, self.epochs) {
            (Some(steps), None) => steps,
            (None, epochs) => epochs.unwrap_or(10).saturating_mul(steps_per_epoch),
            (Some(_), Some(_)) => bail!("give `steps` or `epochs`, not both"),
        };
        ensure!(total > 0, "the run has no steps: the data set is empty");
        Ok(total)
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
        let config = Config { epochs: Some(3), ..Config::default() };
        assert_eq!(config.total_steps(7).unwrap(), 21);
        assert_eq!(Config { steps: Some(400), ..Config::default() }.total_steps(7).unwrap(), 400);
        assert!(Config::default().total_steps(0).is_err());
    }
}

use crate::types::{TrainOptions, same};
use anyhow::{Context as _, Result};
use engine::Context;
use serde_json::{Map, Value as Json, json};
use spec::{Inputs, Values};
use train::Config;

/// The settings that most trainings change. All others come through `options`, or through `more`.
#[derive(Inputs)]
pub(crate) struct Settings {
    /// Stem of the files' names.
    #[input(default = "lora")]
    name: String,
    /// The tag that calls up what is trained, or several, separated by commas; every caption must start with it.
    /// Empty: none, as for styles that are always on.
    #[input(default = "")]
    activation: String,
    /// Rank of the added matrices: 4 to 16 for a character, up to 64 for a style.
    #[input(default = 16, range = 1..=1024)]
    rank: u32,
    /// What is added is scaled by alpha / rank. 0: the rank itself, so that the scale is 1.
    #[input(default = 0.0, range = 0.0..=4096.0, step = 1.0)]
    alpha: f64,
    /// Which layers get a LoRA.
    #[input(default = "attention", options = ["attention", "attention+feed-forward", "linear", "linear+conv"])]
    targets: String,
    /// Train the text encoder too: helps to tie a new subject to its activation tag.
    #[input(default = false)]
    train_text_encoder: bool,
    /// Length in optimizer steps; 0 to say it in epochs.
    #[input(default = 0, range = 0..=1_000_000)]
    steps: u64,
    /// Length in passes over all pictures, if `steps` is 0.
    #[input(default = 10, range = 1..=10_000)]
    epochs: u64,
    /// Pictures in a batch.
    #[input(default = 2, range = 1..=256)]
    batch_size: u32,
    /// Edge of a square picture in pixels; other shapes have about its area. 0: what the base was trained with.
    #[input(default = 0, range = 0..=8192, step = 8)]
    resolution: u32,
    /// How the weights are changed.
    #[input(default = "adamw", options = train::OPTIMIZERS.iter().map(|o| o.name).collect::<Vec<_>>())]
    optimizer: String,
    /// Learning rate of the network's part. 0: the optimizer's own, which is 5e-4 for `adamw`.
    #[input(default = 0.0, range = 0.0..=10.0, step = 0.0001)]
    learning_rate: f64,
    /// Learning rate of the text encoder's part. 0: half of the network's.
    #[input(default = 0.0, range = 0.0..=10.0, step = 0.0001)]
    text_encoder_lr: f64,
    /// How the learning rate changes over the run. `auto`: as suits the optimizer, in waves or not at all.
    #[input(default = "auto", options = super::options::schedules())]
    lr_schedule: String,
    /// Waves of `cosine_with_restarts`.
    #[input(default = 1, range = 1..=100)]
    lr_cycles: u32,
    /// Warm-up in steps, or below 1 as a share of all steps.
    #[input(default = 0.05, range = 0.0..=100_000.0, step = 0.01)]
    warmup: f64,
    /// Gamma of the min-SNR weighting, which keeps easy timesteps from dominating; 5 is usual. 0: off.
    #[input(default = 5.0, range = 0.0..=100.0, step = 0.5)]
    min_snr_gamma: f64,
    /// Save a checkpoint every so many steps. 0: only the last.
    #[input(default = 0, range = 0..=1_000_000)]
    save_every: u64,
    /// Keep only so many of the checkpoints before the last. 0: all.
    #[input(default = 0, range = 0..=10_000)]
    keep_checkpoints: u32,
    /// Shuffle tags at each step. Captions in sentences are never shuffled.
    #[input(default = true)]
    shuffle_tags: bool,
    /// Tags in front that keep their places. −1: as many as there are activation tags, or as all captions share.
    #[input(default = -1, range = -1..=1000)]
    keep_tokens: i32,
    /// Share of steps with an empty caption.
    #[input(default = 0.0, range = 0.0..=1.0, step = 0.01)]
    caption_dropout: f64,
    /// Seed of everything that is drawn by chance.
    #[input(default = 0, seed)]
    seed: u64,
    /// Further settings of the trainer as a JSON object, such as `{"flip": true}`. Unknown keys are errors.
    #[input(default = "", multiline)]
    more: String,
}

/// Of a run's length one may be said; the one that was said by hand puts the other's default away.
const LENGTHS: [(&str, &str); 2] = [("steps", "epochs"), ("epochs", "steps")];

impl Settings {
    /// The trainer's configuration: a widget that has been changed, an option and `more` are all settings by hand, and
    /// two different ones for one key are an error; a preset gives way to them; a widget that still has its default
    /// gives way to everything.
    pub(super) fn config(&self, ctx: &Context, options: Option<&TrainOptions>) -> Result<Config> {
        let defaults = Self::from_values(Values::new()).map_err(|e| anyhow::anyhow!("{e:?}"))?.map();
        let mut set = options.cloned().unwrap_or_default();
        let node = format!("node {} ({})", ctx.node_id, ctx.class_type);
        for (key, value) in self.map() {
            if !defaults.get(&key).is_some_and(|default| same(default, &value)) {
                set.set(&key, value, &node)?;
            }
        }
        for (key, value) in super::options::more(&self.more)? {
            set.set(&key, value, &format!("`more` of {node}"))?;
        }
        let mut all = defaults;
        for (said, other) in LENGTHS {
            if set.has(said) && !set.has(other) {
                all.remove(other);
            }
        }
        all.extend(set.values());
        Config::from_json(&Json::Object(all).to_string()).context("the settings of this training")
    }

    /// The widgets as the trainer's configuration has them.
    fn map(&self) -> Map<String, Json> {
        let given = |n: u64| (n > 0).then_some(n);
        let min_snr = self.min_snr_gamma > 0.0;
        let json = json!({
            "output_name": self.name,
            "seed": self.seed,
            "rank": self.rank,
            "alpha": (self.alpha > 0.0).then_some(self.alpha),
            "targets": self.targets,
            "train_text_encoder": self.train_text_encoder,
            "steps": given(self.steps),
            "epochs": (self.steps == 0).then_some(self.epochs),
            "batch_size": self.batch_size,
            "resolution": given(self.resolution.into()),
            "optimizer": self.optimizer,
            "learning_rate": (self.learning_rate > 0.0).then_some(self.learning_rate),
            "text_encoder_lr": (self.text_encoder_lr > 0.0).then_some(self.text_encoder_lr),
            "lr_schedule": (self.lr_schedule != "auto").then_some(&self.lr_schedule),
            "lr_cycles": self.lr_cycles,
            "lr_warmup": self.warmup,
            // What is usual is the trainer's own default, which knows where it makes sense.
            "loss_weighting": if !min_snr { Some("none") } else { (self.min_snr_gamma != 5.0).then_some("min_snr") },
            "min_snr_gamma": if min_snr { self.min_snr_gamma } else { 5.0 },
            "save_every_steps": given(self.save_every),
            "keep_checkpoints": given(self.keep_checkpoints.into()),
            "shuffle_tags": self.shuffle_tags,
            "keep_tokens": u32::try_from(self.keep_tokens).ok(),
            "activation_tags": data::captions::split(&self.activation),
            "caption_dropout": self.caption_dropout,
        });
        match json {
            Json::Object(map) => map,
            _ => Map::new(),
        }
    }
}

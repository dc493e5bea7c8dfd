use crate::Host;
use crate::types::{Checkpoints, Clip, Model, VaeModel};
use anyhow::{Context as _, bail};
use data::Dataset;
use engine::{Context, Level, TypedNode};
use serde_json::{Map, Value as Json, json};
use spec::Inputs;
use std::sync::Arc;
use train::{Base, Config, Hooks, LogLine, Place, Trained};

/// Trains a LoRA on a data set and saves checkpoints on the way. A run that was stopped or killed goes on where its
/// state was last saved, and ends with the same file as one that was not.
#[derive(Inputs)]
pub(crate) struct TrainLora {
    /// The base to train on.
    model: Arc<Model>,
    /// Its text encoder.
    clip: Arc<Clip>,
    /// Its autoencoder.
    vae: Arc<VaeModel>,
    /// The pictures with their captions.
    dataset: Arc<Dataset>,
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
    #[input(default = "attention", options = ["attention", "attention+feed-forward"])]
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
    /// Learning rate of the UNet's part.
    #[input(default = 5e-4, range = 0.0..=1.0, step = 0.0001)]
    learning_rate: f64,
    /// Learning rate of the text encoder's part. 0: half of the UNet's.
    #[input(default = 0.0, range = 0.0..=1.0, step = 0.0001)]
    text_encoder_lr: f64,
    /// How the learning rate changes over the run.
    #[input(default = "cosine", options = train::LR_SCHEDULES.iter().map(|s| s.name).collect::<Vec<_>>())]
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

/// Going backward through a network recurses once for each of its operations.
const STACK: usize = 256 << 20;

impl TypedNode for TrainLora {
    const ID: &'static str = "TrainLora";
    const CATEGORY: &'static str = "training";
    const DISPLAY_NAME: &'static str = "Train LoRA";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["checkpoints"];
    type Output = Arc<Checkpoints>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let config = self.config()?;
        let (prediction, betas) = train::trainable(self.model.family, self.model.prediction, self.model.noise)?;
        let base = Base {
            network: self.model.network.clone(),
            text: self.clip.text.clone(),
            vae: self.vae.vae.clone(),
            latent: self.model.latent,
            family: self.model.family,
            prediction,
            betas,
            name: self.model.name.clone(),
            digest: self.model.digest.clone(),
        };
        let store = &ctx.services::<Host>().store;
        let scratch = store.scratch(&format!("train {}", ctx.signature()))?;
        let place =
            Place { state_dir: scratch.join("state"), out_dir: scratch.join("checkpoints"), cache: Some(&**store) };
        let trained = std::thread::scope(|scope| {
            let worker = std::thread::Builder::new().name("training".into()).stack_size(STACK);
            let run = || train::train(&config, &base, &self.dataset, &place, &mut Watch { ctx });
            let worker = worker.spawn_scoped(scope, run).context("cannot start the training thread")?;
            worker.join().unwrap_or_else(|panic| bail!("training panicked: {}", said(&*panic)))
        });
        let trained = match trained {
            Err(e) if e.is::<train::Cancelled>() => {
                ctx.log(Level::Info, &format!("{e:#}"));
                ctx.check_cancelled()?;
                return Err(e);
            }
            other => other?,
        };
        let kept = keep(ctx, self.name, &config, trained)?;
        Ok(Arc::new(kept))
    }
}

/// Moves the files to where the store verifies them, so that later runs find exactly these.
fn keep(ctx: &Context, name: String, config: &Config, trained: Trained) -> anyhow::Result<Checkpoints> {
    let store = &ctx.services::<Host>().store;
    let mut files = trained.checkpoints;
    for file in &mut files {
        let digest = store.put_file(&file.path)?;
        if digest.as_str() != file.sha256 {
            bail!(
                "{}: expected sha256 {}, found {digest}: the disk is not to be trusted",
                file.path.display(),
                file.sha256
            );
        }
        file.path = store.blob_path(&digest);
    }
    let seconds = trained.log.iter().map(|l| l.seconds).sum();
    let trigger = config.activation_tags.join(", ");
    Ok(Checkpoints { name, files, log: trained.log, facts: trained.facts, trigger, seconds })
}

impl TrainLora {
    fn config(&self) -> anyhow::Result<Config> {
        let given = |n: u64| (n > 0).then_some(n);
        let mut json = json!({
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
            "learning_rate": self.learning_rate,
            "text_encoder_lr": (self.text_encoder_lr > 0.0).then_some(self.text_encoder_lr),
            "lr_schedule": self.lr_schedule,
            "lr_cycles": self.lr_cycles,
            "lr_warmup": self.warmup,
            "loss_weighting": if self.min_snr_gamma > 0.0 { "min_snr" } else { "none" },
            "save_every_steps": given(self.save_every),
            "keep_checkpoints": given(self.keep_checkpoints.into()),
            "shuffle_tags": self.shuffle_tags,
            "keep_tokens": u32::try_from(self.keep_tokens).ok(),
            "activation_tags": data::captions::split(&self.activation),
            "caption_dropout": self.caption_dropout,
        });
        if self.min_snr_gamma > 0.0 {
            json["min_snr_gamma"] = self.min_snr_gamma.into();
        }
        if !self.more.trim().is_empty() {
            let more: Map<String, Json> =
                serde_json::from_str(&self.more).context("input `more`: expected a JSON object")?;
            for (key, value) in more {
                json[key] = value;
            }
        }
        Config::from_json(&json.to_string())
    }
}

/// Shows the progress of training.
struct Watch<'a> {
    ctx: &'a Context,
}

impl Hooks for Watch<'_> {
    fn caching(&mut self, done: u64, total: u64) {
        self.ctx.progress(done, total, "encoding pictures");
    }

    fn step(&mut self, line: &LogLine, total: u64) {
        let message = format!("loss {:.4}  lr {:.1e}  {:.2} s/step", line.smooth, line.lr, line.seconds);
        self.ctx.progress(line.step, total, &message);
    }

    fn cancelled(&self) -> bool {
        self.ctx.cancelled()
    }

    fn note(&mut self, text: &str) {
        self.ctx.log(Level::Info, text);
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

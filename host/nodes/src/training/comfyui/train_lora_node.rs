use super::resolution_bucket::singles;
use crate::Host;
use crate::loaders::lora_path;
use crate::training::jobs::Folder;
use crate::training::train_lora::{Watch, on_large_stack, stopped};
use crate::types::{Conditioning, Latent, LoraModel, LossMap, Model, Size};
use anyhow::{Context as _, Result, bail, ensure};
use candle_core::DType;
use engine::{Context, Level, TypedNode};
use serde_json::{Value as Json, json};
use spec::{Inputs, Values};
use std::sync::Arc;
use train::{Config, Example, Place, READY_LOSSES, ReadyBase};

/// Trains a LoRA on latents and prompts. The training is told step by step, can be stopped at each step, and goes on
/// where its state was last saved. Files have kohya's names, which ComfyUI reads too; biases and norms are not trained.
/// Of older versions of ComfyUI the node had the model as its first output.
#[derive(Inputs)]
pub(crate) struct TrainLoraNode {
    /// The model to train on.
    model: Arc<Model>,
    /// What is trained on.
    latents: Vec<Arc<Latent>>,
    /// A prompt for each latent, or one for all.
    positive: Vec<Arc<Conditioning>>,
    /// Latents of a step.
    #[input(default = 1, range = 1..=10_000)]
    batch_size: u32,
    /// Batches whose gradients are averaged for one step.
    #[input(default = 1, range = 1..=1024)]
    grad_accumulation_steps: u32,
    /// Length of the training.
    #[input(default = 16, range = 1..=100_000)]
    steps: u64,
    /// Learning rate; it stays the same over the training.
    #[input(default = 0.0005, range = 0.0000001..=1.0, step = 0.0000001)]
    learning_rate: f64,
    /// Rank of the added matrices. What is added is scaled by 1 / rank.
    #[input(default = 8, range = 1..=128)]
    rank: u32,
    /// How the weights are changed.
    #[input(default = "AdamW", options = OPTIMIZERS.iter().map(|o| o.0).collect::<Vec<_>>())]
    optimizer: String,
    /// How clean pictures are compared.
    #[input(default = "MSE", options = READY_LOSSES.iter().map(|l| l.name).collect::<Vec<_>>())]
    loss_function: String,
    /// Seed of everything that is drawn by chance.
    #[input(default = 0, seed)]
    seed: u64,
    /// Number format of the training. It is always `fp32` here.
    #[input(default = "bf16", options = ["bf16", "fp32", "none"])]
    training_dtype: String,
    /// Number format of the saved file; the training itself keeps `fp32`.
    #[input(default = "bf16", options = ["bf16", "fp32"])]
    lora_dtype: String,
    /// What is trained.
    #[input(default = "LoRA", options = algorithms())]
    algorithm: String,
    /// Compute parts of the network twice instead of keeping them: takes less memory and more time.
    #[input(default = true)]
    gradient_checkpointing: bool,
    /// A file in the folder `loras` of the models to go on from; `[None]`: begin anew.
    #[input(default = "[None]")]
    existing_lora: String,
}

/// ComfyUI's name, the trainer's row, settings.
type Named = (&'static str, &'static str, fn() -> Json);

/// ComfyUI's names: the trainer's row, and torch's settings where they differ from it.
const OPTIMIZERS: &[Named] = &[
    ("AdamW", "adamw", || json!({"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01})),
    ("Adam", "adamw", || json!({"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0})),
    ("SGD", "sgd", || json!({"momentum": 0.0, "weight_decay": 0.0})),
];

/// ComfyUI's names of what the trainer has.
fn algorithms() -> Vec<&'static str> {
    let there = |name: &&str| train::NETWORKS.iter().any(|row| row.name == name.to_lowercase());
    ["LoRA", "LoHa", "LoKr"].into_iter().filter(there).collect()
}

const NONE: &str = "[None]";

impl TypedNode for TrainLoraNode {
    const ID: &'static str = "TrainLoraNode";
    const CATEGORY: &'static str = "training/comfyui";
    const DISPLAY_NAME: &'static str = "Train LoRA (ComfyUI)";
    const PERSISTENT: bool = true;
    const STRICT: bool = false;
    const OUTPUT_NAMES: &'static [&'static str] = &["lora", "loss_map", "steps"];
    type Output = (Arc<LoraModel>, Arc<LossMap>, u64);

    fn fingerprint(ctx: &Context, constants: &Values) -> Result<String> {
        match constants.get("existing_lora") {
            Some(spec::Value::Data(Json::String(name))) if name != NONE => {
                Ok(ctx.services::<Host>().file_digest(&lora_path(ctx, name)?)?.to_string())
            }
            _ => Ok(String::new()),
        }
    }

    fn run(self, ctx: &Context) -> Result<Self::Output> {
        if self.training_dtype == "bf16" {
            ctx.log(Level::Info, "training_dtype `bf16`: the training computes in fp32");
        }
        let (config, base, examples) = (self.config(ctx)?, self.base(), self.examples()?);
        let loss = READY_LOSSES.iter().find(|l| l.name == self.loss_function).context("input `loss_function`")?;
        let store = &ctx.services::<Host>().store;
        let folder = Folder::take(ctx, &config.saving.name)?;
        let place = Place { state_dir: folder.state(), out_dir: folder.files(), cache: None };
        let watch = &mut Watch { ctx, folder: &folder, samples: None };
        let trained = on_large_stack(|| train::train_ready(&config, &base, &examples, loss, &place, watch));
        let trained = stopped(ctx, trained)?;
        let digest = store.put_file(&trained.path)?;
        ensure!(digest.as_str() == trained.sha256, "{}: the disk is not to be trusted", trained.path.display());
        let lora = LoraModel { path: store.blob_path(&digest), sha256: trained.sha256 };
        let losses = LossMap { loss: trained.log.iter().map(|line| line.loss).collect() };
        let steps = trained.log.len() as u64 + self.earlier_steps();
        Ok((Arc::new(lora), Arc::new(losses), steps))
    }
}

impl TrainLoraNode {
    fn config(&self, ctx: &Context) -> Result<Config> {
        let (_, optimizer, settings) =
            OPTIMIZERS.iter().find(|o| o.0 == self.optimizer).context("input `optimizer`")?;
        let mut json = json!({
            "output_name": "lora",
            "network": self.algorithm.to_lowercase(),
            "rank": self.rank,
            "alpha": 1.0,
            "targets": TARGETS,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "gradient_accumulation": self.grad_accumulation_steps,
            "seed": self.seed,
            "optimizer": optimizer,
            "learning_rate": self.learning_rate,
            "lr_schedule": "constant",
            "lr_warmup": 0,
            "max_grad_norm": 0,
            "guidance_scale": self.guidance()?,
            "loss_weighting": "none",
            "gradient_checkpointing": self.gradient_checkpointing,
            "save_dtype": if self.lora_dtype == "bf16" { "bf16" } else { "f32" },
        });
        if self.existing_lora != NONE {
            json["start_from"] = json!(lora_path(ctx, &self.existing_lora)?);
        }
        if let (Some(all), Json::Object(more)) = (json.as_object_mut(), settings()) {
            all.extend(more);
        }
        Config::from_json(&json.to_string())
    }

    /// The guidance that the prompts bring; 1 as for other trainings if they bring none.
    fn guidance(&self) -> Result<f64> {
        let mut given = self.positive.iter().flat_map(|c| &c.0).map(|prompt| prompt.guidance.unwrap_or(1.0));
        let first = given.next().unwrap_or(1.0);
        ensure!(given.all(|g| g == first), "expected prompts of one guidance: a training has only one");
        Ok(first)
    }

    fn base(&self) -> ReadyBase {
        let m = &self.model;
        ReadyBase {
            network: m.network.clone(),
            family: m.family,
            prediction: m.prediction,
            noise: m.noise,
            levels: m.sigma_table(),
            name: m.name.clone(),
            digest: m.digest.clone(),
        }
    }

    fn examples(&self) -> Result<Vec<Example>> {
        let latents = singles(&self.latents)?;
        let mut prompts: Vec<_> = self.positive.iter().flat_map(|c| &c.0).collect();
        if prompts.len() == 1 {
            prompts = vec![prompts[0]; latents.len()];
        }
        if prompts.len() != latents.len() {
            bail!(
                "expected a prompt for each of the {} latents, or one for all; found {}",
                latents.len(),
                prompts.len()
            );
        }
        let (takes, factor) = (self.model.network.takes(), self.model.latent.factor as u32);
        let one = |(latent, prompt): (&candle_core::Tensor, &&crate::types::Cond)| -> Result<Example> {
            let latents = self.model.latent.scale(&latent.to_dtype(DType::F32)?)?;
            let (_, channels, h, w) = latents.dims4()?;
            ensure!(
                channels == takes.channels,
                "expected latents of {} channels for {}, found {channels}",
                takes.channels,
                self.model.family.name
            );
            let (width, height) = (w as u32 * factor, h as u32 * factor);
            let own = Size { width, height, crop_left: 0, crop_top: 0, target_width: width, target_height: height };
            let size = takes.size.then(|| prompt.size.unwrap_or(own).values());
            Ok(Example { latents, context: prompt.states.clone(), pooled: prompt.pooled.clone(), size })
        };
        latents.iter().zip(&prompts).map(one).collect()
    }

    /// Steps of the file that the training goes on from, as its name says: `name_100_steps_…`.
    fn earlier_steps(&self) -> u64 {
        let before = self.existing_lora.split("_steps_").next().unwrap_or_default();
        before.rsplit('_').next().and_then(|n| n.parse().ok()).filter(|_| self.existing_lora != NONE).unwrap_or(0)
    }
}

/// ComfyUI trains every weight of the network that is a matrix or a kernel.
const TARGETS: &str = "linear+conv";

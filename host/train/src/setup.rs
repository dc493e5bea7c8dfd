//! From a base and a configuration to a network in training.

use crate::diffusion::NoiseSchedule;
use crate::losses::Prediction;
use crate::networks::{self, Part, Shape, Trained};
use crate::plan::Needs;
use crate::step::{Objective, Trainer};
use crate::{Config, losses, optimizers};
use anyhow::{Context, Result, ensure};
use candle_core::Device;
use models::{Adapter, Betas, Family, Target, TextEncoder, UNet, Vae};
use sample::rng::TorchCpu;
use std::collections::HashMap;
use std::sync::Arc;

/// The frozen model that is trained on.
#[derive(Clone)]
pub struct Base {
    pub unet: UNet,
    pub text: TextEncoder,
    pub vae: Vae,
    pub family: &'static Family,
    /// What the UNet outputs.
    pub prediction: Prediction,
    /// The noise schedule of its training.
    pub betas: Betas,
    /// For metadata: the folder's or file's name.
    pub name: String,
    /// Identity of the weights.
    pub digest: String,
}

impl Base {
    /// A loaded model as a base to train on.
    pub fn new(loaded: &models::Loaded, name: &str) -> Self {
        Self {
            unet: loaded.unet.clone(),
            text: loaded.text.clone(),
            vae: loaded.vae.clone(),
            family: loaded.family,
            prediction: match loaded.prediction {
                models::Prediction::Epsilon => Prediction::Epsilon,
                models::Prediction::Velocity => Prediction::V,
            },
            betas: loaded.betas,
            name: name.to_owned(),
            digest: loaded.digest.clone(),
        }
    }
}

impl Base {
    /// What the base needs of its pictures. Each level of the UNet but the last halves the latent.
    pub fn needs(&self) -> Needs {
        let halvings = self.unet.config().block_out_channels.len().saturating_sub(1);
        let step = (self.vae.config().factor() << halvings) as u32;
        let sample = self.unet.config().sample_size.map(|n| (n * self.vae.config().factor()) as u32);
        Needs { resolution: sample.unwrap_or(self.family.side as u32), step }
    }
}

/// The network that a configuration asks for, applied to the base.
pub fn trainer(config: &Config, base: &Base) -> Result<Trainer> {
    config.check()?;
    let row = networks::find(&config.network)?;
    let shape = Shape { rank: config.rank, alpha: config.alpha() };
    let mut dice = TorchCpu::new(config.seed);
    let mut trained = Trained::default();
    // sd-scripts' order, so that the same seed starts from the same weights.
    let mut attach = |targets: Vec<Target>, part: Part| -> Result<HashMap<String, Arc<dyn Adapter>>> {
        let mut adapters = HashMap::new();
        for target in targets {
            let built = (row.build)(&target, &shape, &mut dice, &Device::Cpu)
                .with_context(|| format!("layer `{}`", target.path))?;
            trained.add(&target, part, &built)?;
            adapters.insert(target.path, built.adapter);
        }
        Ok(adapters)
    };
    let mut text = base.text.clone();
    if config.train_text_encoder {
        let targets = base.text.targets().into_iter().filter(|t| config.targets.text(&t.path));
        // Layers that the states skip would never get a gradient.
        let used = base.text.config().num_hidden_layers.saturating_sub(config.clip_skip - 1);
        let skipped: Vec<String> =
            (used..base.text.config().num_hidden_layers).map(|i| format!(".layers.{i}.")).collect();
        let targets = targets.filter(|t| !skipped.iter().any(|s| t.path.contains(s.as_str()))).collect();
        text = text.with_adapters(&attach(targets, Part::TextEncoder)?)?;
    }
    let mut unet = base.unet.clone();
    if config.train_unet {
        let targets = base.unet.targets().into_iter().filter(|t| config.targets.unet(&t.path)).collect();
        unet = unet.with_adapters(&attach(targets, Part::Unet)?)?;
    }
    ensure!(!trained.params.is_empty(), "the base has no layers that `targets` asks for");
    let lengths: Vec<usize> = trained.params.iter().map(|p| p.values.len()).collect();
    let optimizer = (optimizers::find(&config.optimizer)?.build)(config.optimizer_settings()?, &lengths);
    let mut trainer = Trainer::new(unet, text, trained, optimizer, objective(config, base)?);
    trainer.max_grad_norm = config.max_grad_norm;
    trainer.accumulation = config.gradient_accumulation;
    trainer.clip_skip = config.clip_skip;
    Ok(trainer)
}

fn objective(config: &Config, base: &Base) -> Result<Objective> {
    Ok(Objective {
        noise: NoiseSchedule::new(base.betas),
        prediction: config.prediction.unwrap_or(base.prediction),
        loss: losses::find(&config.loss)?,
        huber_c: config.huber_c,
        huber_schedule: config.huber_schedule,
        weighting: losses::find_weighting(&config.loss_weighting)?,
        min_snr_gamma: config.min_snr_gamma,
    })
}

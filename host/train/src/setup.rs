//! From a base and a configuration to a network in training.

use crate::diffusion::NoiseSchedule;
use crate::losses::Prediction;
use crate::networks::{self, Part, Shape, Trained};
use crate::plan::Needs;
use crate::step::{Objective, Trainer};
use crate::text_rows::check_rows;
use crate::{Config, losses};
use anyhow::{Context, Result, bail, ensure};
use models::{Adapter, Betas, Family, Latent, Network, Noise, Target, Texts, Vae};
use sample::rng::TorchCpu;
use std::collections::HashMap;
use std::sync::Arc;

/// The frozen model that is trained on.
#[derive(Clone)]
pub struct Base {
    pub network: Network,
    pub text: Texts,
    pub vae: Vae,
    /// The scale of its latents.
    pub latent: Latent,
    pub family: &'static Family,
    /// What the network outputs.
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
    ///
    /// # Errors
    /// The family cannot be trained yet.
    pub fn new(loaded: &models::Loaded, name: &str) -> Result<Self> {
        let (prediction, betas) = trainable(loaded.family, loaded.prediction, loaded.noise)?;
        Ok(Self {
            network: loaded.network.clone(),
            text: loaded.text.clone(),
            vae: loaded.vae.clone(),
            latent: loaded.latent,
            family: loaded.family,
            prediction,
            betas,
            name: name.to_owned(),
            digest: loaded.digest.clone(),
        })
    }
}

/// What a base predicts and its betas, if it is of a family that can be trained.
///
/// # Errors
/// It is not.
pub fn trainable(family: &Family, prediction: models::Prediction, noise: Noise) -> Result<(Prediction, Betas)> {
    let prediction = match prediction {
        models::Prediction::Epsilon => Some(Prediction::Epsilon),
        models::Prediction::Velocity => Some(Prediction::V),
        models::Prediction::Flow => None,
    };
    match (prediction, noise.betas()) {
        (Some(_), Some(betas)) if betas.zero_snr => {
            bail!("training on a base whose last timestep is pure noise (zero terminal SNR) is not built yet")
        }
        (Some(prediction), Some(betas)) if family.trainable => Ok((prediction, betas)),
        _ => {
            let can = models::FAMILIES.iter().filter(|f| f.trainable).map(|f| f.name).collect::<Vec<_>>().join(", ");
            bail!("training for {} is not built yet; a base of {can} can be trained", family.name)
        }
    }
}

impl Base {
    /// What the base needs of its pictures.
    pub fn needs(&self) -> Needs {
        let takes = self.network.takes();
        let step = (self.vae.config().factor() * takes.multiple) as u32;
        let sample = takes.side.map(|n| (n * self.vae.config().factor()) as u32);
        Needs { resolution: sample.unwrap_or(self.family.side as u32), step }
    }
}

/// The network that a configuration asks for, applied to the base.
pub fn trainer(config: &Config, base: &Base) -> Result<Trainer> {
    config.check()?;
    check_rows(&base.text, config.captions.rows())?;
    let row = networks::find(&config.network.kind)?;
    let shape = Shape { rank: config.network.rank, alpha: config.network.alpha() };
    let mut dice = TorchCpu::new(config.run.seed);
    let mut trained = Trained::default();
    // sd-scripts' order, so that the same seed starts from the same weights.
    let mut attach = |targets: Vec<Target>, part: Part| -> Result<HashMap<String, Arc<dyn Adapter>>> {
        let mut adapters = HashMap::new();
        for target in targets {
            let built = (row.build)(&target, &shape, &mut dice, base.network.device())
                .with_context(|| format!("layer `{}`", target.path))?;
            trained.add(&target, part, &built)?;
            adapters.insert(target.path, built.adapter);
        }
        Ok(adapters)
    };
    let mut text = base.text.clone();
    if config.network.train_text_encoder {
        for (i, part) in base.text.parts().iter().enumerate() {
            let targets = part.targets().into_iter().filter(|t| config.network.targets.text(&t.path));
            // Layers that the states skip would never get a gradient.
            let used = part.layers().saturating_sub(config.captions.clip_skip - 1);
            let skipped: Vec<String> = (used..part.layers()).map(|i| format!(".layers.{i}.")).collect();
            let targets = targets.filter(|t| !skipped.iter().any(|s| t.path.contains(s.as_str()))).collect();
            text = text.with_part(i, part.with_adapters(&attach(targets, Part::TextEncoder)?)?);
        }
    }
    let mut network = base.network.clone();
    if config.network.train_unet {
        let targets = base.network.targets().into_iter().filter(|t| config.network.targets.unet(&t.path)).collect();
        network = network.with_adapters(&attach(targets, Part::Unet)?)?;
    }
    ensure!(!trained.params.is_empty(), "the base has no layers that `targets` asks for");
    let optimizer = config.optimizer.build(&trained.shapes())?;
    let network = network.with_checkpointing(config.memory.gradient_checkpointing);
    let mut trainer = Trainer::new(network, text, trained, optimizer, objective(config, base)?);
    trainer.max_grad_norm = config.optimizer.max_grad_norm;
    trainer.accumulation = config.run.gradient_accumulation;
    trainer.clip_skip = config.captions.clip_skip;
    trainer.rows = config.captions.rows();
    Ok(trainer)
}

fn objective(config: &Config, base: &Base) -> Result<Objective> {
    Ok(Objective {
        noise: NoiseSchedule::new(base.betas),
        prediction: config.noise.prediction.unwrap_or(base.prediction),
        loss: losses::find(&config.loss.kind)?,
        huber_c: config.loss.huber_c,
        huber_schedule: config.loss.huber_schedule,
        weighting: losses::find_weighting(&config.loss.weighting)?,
        min_snr_gamma: config.loss.min_snr_gamma,
    })
}

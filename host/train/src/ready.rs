//! Training on latents and prompts that somebody else has made: no pictures, captions or autoencoder. Source of the
//! procedure: ComfyUI, `comfy_extras.nodes_train.TrainLoraNode`: times are drawn evenly along the base's noise levels,
//! and the loss compares clean pictures, not noise.
//!
//! Deviations: what is drawn by chance depends on the seed alone, latents of different sizes may share a batch, and an
//! interrupted run goes on where its state was saved.

use crate::check::check_gradients;
use crate::dice::{Purpose, Stream, shuffle};
use crate::hooks::{Hooks, Wish, rest};
use crate::log::{Log, LogLine, Smooth, resident};
use crate::metadata::{self, Facts};
use crate::plan::{Needs, plan};
use crate::run::{Cancelled, LOG_FILE, Place};
use crate::safetensors_file::write_atomic;
use crate::setup::{assemble, path};
use crate::state::{self, Position};
use crate::step::{Batch, Lrs, Text, Trainer};
use crate::{Config, Prediction, lr_schedules};
use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;
use data::{Dataset, Item};
use models::{Family, Network, Noise, Texts};
use sample::SigmaTable;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::Instant;

/// The network that is trained on, without autoencoder and text encoders.
#[derive(Clone)]
pub struct ReadyBase {
    pub network: Network,
    pub family: &'static Family,
    /// What the network outputs.
    pub prediction: models::Prediction,
    /// The noise of its training.
    pub noise: Noise,
    /// Noise levels that times are drawn from.
    pub levels: SigmaTable,
    /// For metadata: the folder's or file's name.
    pub name: String,
    /// Identity of the weights.
    pub digest: String,
}

/// A picture with its prompt, as the network sees them.
#[derive(Clone)]
pub struct Example {
    /// Scaled latents without noise, (1, c, h, w).
    pub latents: Tensor,
    /// Text states, (1, n, d).
    pub context: Tensor,
    /// The prompt as one vector, (1, d), for families that take it.
    pub pooled: Option<Tensor>,
    /// Original height and width, top and left of the crop, target height and width, in pixels; for families that take
    /// it.
    pub size: Option<[f32; 6]>,
}

/// How two clean pictures are compared, number by number.
#[derive(Clone, Copy, Debug)]
pub struct ReadyLoss {
    /// ComfyUI's name.
    pub name: &'static str,
    /// Difference, any shape → loss of each number.
    pub apply: fn(&Tensor) -> candle_core::Result<Tensor>,
}

/// torch's losses with their default settings.
pub const READY_LOSSES: &[ReadyLoss] = &[
    ReadyLoss { name: "MSE", apply: Tensor::sqr },
    ReadyLoss { name: "L1", apply: Tensor::abs },
    ReadyLoss { name: "Huber", apply: huber },
    ReadyLoss { name: "SmoothL1", apply: huber },
];

/// 0.5·d² below 1, |d| − 0.5 above; torch's Huber loss and smooth L1 are the same where both turn at 1.
fn huber(difference: &Tensor) -> candle_core::Result<Tensor> {
    let size = difference.abs()?;
    let low = size.minimum(1.0)?;
    (low.sqr()? * 0.5)? + (size - low)?
}

/// What a run on ready latents has made.
pub struct ReadyTrained {
    /// The saved network.
    pub path: PathBuf,
    /// Of the file, in hex.
    pub sha256: String,
    pub log: Vec<LogLine>,
}

/// Trains on ready latents and prompts, or goes on with an interrupted run. Needs a large stack, as [`crate::train`].
///
/// # Errors
/// As [`crate::train`].
pub fn train_ready(
    config: &Config,
    base: &ReadyBase,
    examples: &[Example],
    loss: &ReadyLoss,
    place: &Place<'_>,
    hooks: &mut dyn Hooks,
) -> Result<ReadyTrained> {
    ensure!(!examples.is_empty(), "there are no latents to train on");
    let total = config.run.steps.context("training on ready latents: its length is said in `steps`")?;
    let mut at = Position::new(fingerprint(config, base, examples, loss)?);
    let way = path(config, base.family, base.prediction, base.noise)?;
    let mut trainer = assemble(config, &base.network, &Texts::none(base.family), way)?;
    let mut notes = Vec::new();
    let found =
        state::load(&place.state_dir, &at.fingerprint, &mut trainer.trained, trainer.optimizer.as_mut(), &mut |n| {
            notes.push(n);
        })?;
    notes.iter().for_each(|n| hooks.note(n));
    if let Some(found) = found {
        hooks.note(&format!("going on after step {} of {total}", found.step));
        at = found;
    }
    let mut log = Log::open(&place.out_dir.join(LOG_FILE), at.step)?;
    let mut smooth = Smooth { sum: at.smooth, steps: at.step };
    let run = Run { config, base, examples, loss };
    if at.step == 0 {
        let first = run.batch(&trainer, &[0], 0)?;
        check_gradients(&mut trainer, &first)?;
    }
    let schedule = lr_schedules::find(config.lr_schedule())?;
    let curve = config.curve(total);
    while at.step < total {
        match hooks.wish() {
            Wish::Go => {}
            Wish::Pause => {
                state::save(&place.state_dir, &at, &trainer.trained, trainer.optimizer.as_ref())?;
                rest(at.step, hooks);
                continue;
            }
            Wish::Stop => {
                state::save(&place.state_dir, &at, &trainer.trained, trainer.optimizer.as_ref())?;
                bail!(Cancelled { step: at.step });
            }
            Wish::Finish | Wish::KeepBest if at.step > 0 => break,
            Wish::Finish | Wish::KeepBest => {}
        }
        let start = Instant::now();
        let (mean, images) = run.accumulate(&mut trainer, at.step)?;
        let rate = config.optimizer.learning_rate() * schedule.at(&curve, at.step);
        let grad_norm = trainer.update(&Lrs { texts: vec![rate], network: rate }).with_context(|| {
            format!("step {}; latents: {}; a lower learning rate is the usual cure", at.step + 1, numbered(&images))
        })?;
        at.step += 1;
        let line = LogLine {
            step: at.step,
            epoch: 1,
            loss: mean,
            smooth: smooth.add(mean),
            lr: rate,
            text_encoder_lr: None,
            grad_norm,
            seconds: start.elapsed().as_secs_f64(),
            memory: resident(),
            images: images.iter().map(|i| format!("latent {}", i + 1)).collect(),
            validated: None,
        };
        at.smooth = smooth.sum;
        hooks.step(&line, total);
        log.add(line)?;
        if at.step < total && at.step.is_multiple_of(config.saving.state_every) {
            state::save(&place.state_dir, &at, &trainer.trained, trainer.optimizer.as_ref())?;
        }
    }
    let bytes = run.file(&trainer, &at)?;
    let path = place.out_dir.join(format!("{}.safetensors", config.saving.name));
    write_atomic(&path, &bytes)?;
    Ok(ReadyTrained { path, sha256: format!("{:x}", Sha256::digest(&bytes)), log: log.lines })
}

struct Run<'a> {
    config: &'a Config,
    base: &'a ReadyBase,
    examples: &'a [Example],
    loss: &'a ReadyLoss,
}

impl Run<'_> {
    /// Adds the gradients of one optimizer step; gives the mean loss, and the numbers of the latents.
    fn accumulate(&self, trainer: &mut Trainer, step: u64) -> Result<(f64, Vec<usize>)> {
        let (count, mut mean, mut images) = (self.config.run.gradient_accumulation, 0.0, Vec::new());
        for micro in step * count..(step + 1) * count {
            let chosen = self.choose(micro);
            for group in self.groups(&chosen) {
                let batch = self.batch(trainer, &group, micro)?;
                let share = group.len() as f64 / chosen.len() as f64;
                let loss = (self.judge(trainer, &batch)? * share)?;
                let number = f64::from(loss.to_scalar::<f32>()?);
                ensure!(
                    number.is_finite(),
                    "step {}: the loss is not a finite number; latents: {}; a lower learning rate is the usual cure",
                    step + 1,
                    numbered(&group)
                );
                trainer.backward(&loss)?;
                mean += number / count as f64;
            }
            images.extend(chosen);
        }
        Ok((mean, images))
    }

    /// The latents of a micro batch: different ones, as many as there are at most.
    fn choose(&self, micro: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        shuffle(&mut Stream::new(self.config.run.seed, Purpose::Order, micro), &mut order);
        order.truncate(self.config.run.batch_size);
        order
    }

    /// Those that fit into one tensor.
    fn groups(&self, chosen: &[usize]) -> Vec<Vec<usize>> {
        let shape = |i: usize| (self.examples[i].latents.dims(), self.examples[i].context.dims());
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for &i in chosen {
            match groups.iter_mut().find(|g| shape(g[0]) == shape(i)) {
                Some(group) => group.push(i),
                None => groups.push(vec![i]),
            }
        }
        groups
    }

    fn batch(&self, trainer: &Trainer, group: &[usize], micro: u64) -> Result<Batch> {
        let device = trainer.device();
        let cat = |pick: &dyn Fn(&Example) -> Tensor| -> Result<Tensor> {
            let all: Vec<Tensor> = group.iter().map(|&i| pick(&self.examples[i])).collect();
            Ok(Tensor::cat(&all, 0)?.to_device(&device)?)
        };
        let latents = cat(&|e| e.latents.clone())?;
        let shape = latents.dims4()?;
        let seed = self.config.run.seed;
        // Each latent draws for itself, whichever group it is in.
        let of = |i: usize| micro * self.examples.len() as u64 + i as u64;
        let one = shape.1 * shape.2 * shape.3;
        let noise: Vec<f32> =
            group.iter().flat_map(|&i| Stream::new(seed, Purpose::Noise, of(i)).normals(one)).collect();
        let time = |&i: &usize| {
            let share = crate::dice::Dice::unit(&mut Stream::new(seed, Purpose::Timestep, of(i)));
            self.base.levels.timestep(self.base.levels.at_percent(share.max(1e-4))) as f32
        };
        let pooled = group.iter().all(|&i| self.examples[i].pooled.is_some());
        let size: Option<Vec<f32>> =
            group.iter().map(|&i| self.examples[i].size).collect::<Option<Vec<_>>>().map(|s| s.concat());
        Ok(Batch {
            noise: Tensor::from_vec(noise, shape, &device)?,
            hidden_noise: None,
            times: group.iter().map(time).collect(),
            text: Text::States {
                context: cat(&|e| e.context.clone())?,
                pooled: if pooled {
                    Some(cat(&|e| e.pooled.clone().unwrap_or_else(|| e.context.clone()))?)
                } else {
                    None
                },
            },
            size: size.map(|s| Tensor::from_vec(s, (group.len(), 6), &device)).transpose()?,
            mask: None,
            weights: None,
            index: micro,
            latents,
        })
    }

    /// The mean loss of a batch between clean pictures.
    fn judge(&self, trainer: &Trainer, batch: &Batch) -> Result<Tensor> {
        let (prediction, target) = trainer.predict(batch)?;
        let o = &trainer.objective;
        let scale: Vec<f32> = batch.times.iter().map(|&t| clean_scale(o.prediction, o.path.snr(t), t) as f32).collect();
        let scale = Tensor::from_vec(scale, (batch.times.len(), 1, 1, 1), prediction.device())?;
        Ok((self.loss.apply)(&(prediction - target)?.broadcast_mul(&scale)?)?.mean_all()?)
    }

    /// The bytes of the saved network.
    fn file(&self, trainer: &Trainer, at: &Position) -> Result<Vec<u8>> {
        let item = |(i, example): (usize, &Example)| {
            let factor = self.base.family.latent.factor as u32;
            let (_, _, h, w) = example.latents.dims4()?;
            let (width, height) = (w as u32 * factor, h as u32 * factor);
            Ok(Item { id: format!("latent {}", i + 1), width, height, repeats: 1, ..Item::default() })
        };
        let items = self.examples.iter().enumerate().map(item).collect::<Result<_>>()?;
        let dataset = Dataset { items, notes: Vec::new() };
        let config = self.config.with(json!({"allow_missing_captions": true}))?;
        let plan = plan(&config, &dataset, Needs { resolution: self.base.family.side as u32, step: 8 })?;
        let facts = Facts {
            config: self.config,
            dataset: &dataset,
            plan: &plan,
            prediction: trainer.objective.prediction,
            zero_snr: trainer.objective.path.ends_in_noise(),
            base_name: &self.base.name,
            base_digest: &self.base.digest,
            architecture: self.base.family.architecture,
            base_version: self.base.family.base_model_version,
            lora_module: self.base.family.network.trainer,
            fingerprint: &at.fingerprint,
        };
        metadata::file(&facts, at.step, 1, &self.config.saving.name, &trainer.trained.entries())
    }
}

/// What the error of a prediction is multiplied by to be the error of the clean picture that follows from it.
fn clean_scale(prediction: Prediction, snr: f64, time: f32) -> f64 {
    match prediction {
        Prediction::Epsilon => snr.sqrt().recip(),
        Prediction::V => (1.0 + snr).sqrt().recip(),
        Prediction::Flow => time.into(),
    }
}

fn numbered(images: &[usize]) -> String {
    images.iter().map(|i| (i + 1).to_string()).collect::<Vec<_>>().join(", ")
}

/// Identity of a run: what its result depends on.
fn fingerprint(config: &Config, base: &ReadyBase, examples: &[Example], loss: &ReadyLoss) -> Result<String> {
    let mut hash = Sha256::new();
    let config = serde_json::to_string(&config.identity())?;
    for part in [config.as_str(), &base.digest, loss.name, &format!("{:?}", base.levels.sigmas())] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    for example in examples {
        for tensor in [Some(&example.latents), Some(&example.context), example.pooled.as_ref()].into_iter().flatten() {
            hash.update(format!("{:?}", tensor.dims()));
            let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
            values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
        hash.update(format!("{:?}", example.size));
    }
    Ok(format!("{:x}", hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn losses_are_those_of_torch() {
        let d = Tensor::new(&[0.5f32, -2.0, 1.0], &Device::Cpu).unwrap();
        let apply = |name: &str| {
            let row = READY_LOSSES.iter().find(|l| l.name == name).unwrap();
            (row.apply)(&d).unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(apply("MSE"), [0.25, 4.0, 1.0]);
        assert_eq!(apply("L1"), [0.5, 2.0, 1.0]);
        assert_eq!(apply("Huber"), [0.125, 1.5, 0.5]);
        assert_eq!(apply("SmoothL1"), apply("Huber"));
    }

    #[test]
    fn errors_of_predictions_become_errors_of_clean_pictures() {
        // x = a·clean + s·noise with a² + s² = 1; an error e of the noise is s/a·e of the clean picture.
        let (a, s) = (0.6f64, 0.8);
        let snr = (a / s).powi(2);
        assert!((clean_scale(Prediction::Epsilon, snr, 0.0) - s / a).abs() < 1e-12);
        assert!((clean_scale(Prediction::V, snr, 0.0) - s).abs() < 1e-12);
        assert!((clean_scale(Prediction::Flow, 0.0, 0.25) - 0.25).abs() < 1e-12);
    }
}

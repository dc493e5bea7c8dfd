//! A whole run: plan, latents, network, check, steps, checkpoints, pictures, state.

mod checkpoints;

use crate::batches::{Batches, Slice};
use crate::captions::Captions;
use crate::check::check_gradients;
use crate::feed::Feed;
use crate::hooks::{Hooks, Wish, rest};
use crate::images::Encoder;
use crate::log::{Log, LogLine, Smooth, resident};
use crate::own::Own;
use crate::plan::{Plan, plan};
use crate::prompts::Prompts;
use crate::setup::{Base, trained_texts, trainer};
use crate::state::{self, Position};
use crate::step::{Lrs, Trainer};
use crate::{Config, lr_schedules, validation};
use anyhow::{Context, Result, bail, ensure};
use candle_core::{Device, Tensor};
use data::{Dataset, Store};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

/// Name of the log in the output folder.
pub const LOG_FILE: &str = "log.jsonl";

/// Where a run works.
pub struct Place<'a> {
    /// The training state; a folder of this run's own.
    pub state_dir: PathBuf,
    /// Checkpoints and the log.
    pub out_dir: PathBuf,
    /// Latents are kept here from run to run.
    pub cache: Option<&'a Store>,
}

/// The run was stopped by [`Hooks::wish`]. Its state is saved: the same call goes on from there.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("training was cancelled after step {step}; it goes on from there when it is started again")]
pub struct Cancelled {
    pub step: u64,
}

/// What a run has made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// In the order of their steps, except that the last one is the result.
    pub checkpoints: Vec<CheckpointFile>,
    pub log: Vec<LogLine>,
    pub facts: Facts,
}

/// A saved network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointFile {
    /// Optimizer steps done.
    pub step: u64,
    /// From 1.
    pub epoch: u64,
    pub path: PathBuf,
    /// Of the file, in hex.
    pub sha256: String,
    /// Is this the result?
    pub is_last: bool,
    /// Had it the lowest loss of pictures that are held back?
    #[serde(default)]
    pub is_best: bool,
}

/// Numbers of a run, for reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub plan: Plan,
    pub config: Config,
    /// Numbers that were trained.
    pub parameters: usize,
    /// Layers that got a network.
    pub layers: usize,
    pub base_name: String,
    pub base_digest: String,
    /// Step that an earlier, interrupted run had reached.
    pub resumed_from: Option<u64>,
}

/// Trains a network, or goes on with an interrupted run. Needs a large stack (256 MiB): going backward through a network
/// recurses once for each of its operations.
///
/// # Errors
/// Problems of the plan, all at once; a tensor without gradient; a loss or gradient that is not finite, with step and
/// images; a full disk; [`Cancelled`].
pub fn train(
    config: &Config,
    base: &Base,
    dataset: &Dataset,
    place: &Place<'_>,
    hooks: &mut dyn Hooks,
) -> Result<Trained> {
    train_from(config, base, dataset, place, None, hooks)
}

/// As [`train`]; a run that has no state yet begins with the weights, the optimizer and the step of another run's state,
/// which may have had other settings and images.
///
/// # Errors
/// As [`train`], and if the state does not fit what is trained, or is as far as this run goes.
pub fn train_from(
    config: &Config,
    base: &Base,
    dataset: &Dataset,
    place: &Place<'_>,
    start: Option<&Path>,
    hooks: &mut dyn Hooks,
) -> Result<Trained> {
    let needs = base.needs();
    let plan = plan(config, dataset, needs)?;
    let (trained, held) = validation::split(config, dataset);
    plan.warnings.iter().for_each(|w| hooks.note(w));
    ensure!(plan.problems.is_empty(), "cannot train: {}", plan.problems.join("; "));
    let fingerprint = fingerprint(config, base, dataset)?;
    let mut trainer = trainer(config, base)?;
    let mut run = Run {
        config,
        place,
        at: Position::new(fingerprint),
        resumed_from: None,
        epoch: 0,
        saved: None,
        stale: Vec::new(),
        batches: Batches::new(config, &trained, needs)?,
        plan,
        dataset: &trained,
        held: &held,
        base,
    };
    run.resume(&mut trainer, hooks)?;
    if let Some(start) = start.filter(|_| run.at.step == 0) {
        run.adopt(start, &mut trainer, hooks)?;
    }
    run.steps(&mut trainer, hooks)
}

struct Run<'a> {
    config: &'a Config,
    place: &'a Place<'a>,
    base: &'a Base,
    dataset: &'a Dataset,
    /// What is held back for validation.
    held: &'a Dataset,
    batches: Batches,
    plan: Plan,
    at: Position,
    resumed_from: Option<u64>,
    /// The epoch of the last step, from 1.
    epoch: u64,
    /// Step of the newest state on disk.
    saved: Option<u64>,
    /// Checkpoints that retention drops, once the state no longer lists them.
    stale: Vec<PathBuf>,
}

impl<'a> Run<'a> {
    fn resume(&mut self, trainer: &mut Trainer, hooks: &mut dyn Hooks) -> Result<()> {
        let mut notes = Vec::new();
        let start: Vec<Vec<f32>> = trainer.trained.params.iter().map(|p| p.values.clone()).collect();
        let dir = &self.place.state_dir;
        let found =
            state::load(dir, &self.at.fingerprint, &mut trainer.trained, trainer.optimizer.as_mut(), &mut |note| {
                notes.push(note)
            })?;
        notes.iter().for_each(|n| hooks.note(n));
        let Some(at) = found else { return Ok(()) };
        let changed = |c: &&CheckpointFile| digest(&self.place.out_dir.join(&c.path)).ok().as_ref() != Some(&c.sha256);
        let lost = at.checkpoints.iter().chain(at.best.iter().map(|b| &b.file)).find(changed);
        if let Some(lost) = lost {
            let name = lost.path.display();
            hooks.note(&format!("checkpoint {name} is missing or changed: training starts from the beginning"));
            state::forget(dir)?;
            for (param, values) in trainer.trained.params.iter_mut().zip(start) {
                param.values = values;
                param.publish()?;
            }
            trainer.optimizer = self.config.optimizer.build(&trainer.trained.shapes())?;
            return Ok(());
        }
        hooks.note(&format!("going on after step {} of {}", at.step, self.plan.total_steps));
        self.resumed_from = Some(at.step);
        self.saved = Some(at.step);
        self.epoch = at.step.div_ceil(self.plan.steps_per_epoch.max(1));
        self.at = at;
        // A run that was finished early goes on, and its end is no longer the last step.
        let total = self.plan.total_steps;
        self.at.checkpoints.retain(|c| !c.is_last || c.step >= total);
        Ok(())
    }

    /// Begins where another run's state was taken.
    fn adopt(&mut self, start: &Path, trainer: &mut Trainer, hooks: &mut dyn Hooks) -> Result<()> {
        let at = state::adopt(start, &mut trainer.trained, trainer.optimizer.as_mut())?;
        let (step, total) = (at.step, self.plan.total_steps);
        ensure!(
            step < total,
            "{}: this state was taken after step {step}, and the run has {total} steps: ask for more `steps`",
            start.display()
        );
        hooks.note(&format!("going on after step {step} of {}, up to step {total}", start.display()));
        (self.at.step, self.at.smooth, self.resumed_from) = (step, at.smooth, Some(step));
        Ok(())
    }

    fn steps(mut self, trainer: &mut Trainer, hooks: &mut dyn Hooks) -> Result<Trained> {
        let mut log = Log::open(&self.place.out_dir.join(LOG_FILE), self.at.step)?;
        let mut smooth = Smooth { sum: self.at.smooth, steps: self.at.step };
        let mut keep_best = false;
        if self.at.step < self.plan.total_steps {
            let (mut feed, mut held) = self.feeds(trainer, hooks)?;
            feed.cut_captions()?.iter().for_each(|note| hooks.note(note));
            if self.at.step == 0 {
                let first = self.batches.step(0);
                let first = first.first().context("the first step has no images")?;
                check_gradients(trainer, &feed.batch(first, 0)?)?;
            }
            let schedule = lr_schedules::find(self.config.lr_schedule())?;
            let curve = self.config.curve(self.plan.total_steps);
            self.sample(trainer, hooks)?;
            while self.at.step < self.plan.total_steps {
                match hooks.wish() {
                    Wish::Pause => {
                        self.rest(trainer, hooks)?;
                        continue;
                    }
                    Wish::Stop => {
                        self.save_state(trainer)?;
                        bail!(Cancelled { step: self.at.step });
                    }
                    wish @ (Wish::Finish | Wish::KeepBest) if self.at.step > 0 => {
                        keep_best = wish == Wish::KeepBest;
                        self.finish(trainer, hooks)?;
                        break;
                    }
                    Wish::Go | Wish::Finish | Wish::KeepBest => {}
                }
                let factor = schedule.at(&curve, self.at.step);
                let mut line = self.one(trainer, &mut feed, factor, &mut smooth)?;
                self.at.smooth = smooth.sum;
                self.epoch = line.epoch;
                let mut saved = false;
                if let Some(held) = &mut held
                    && self.looks()
                {
                    let look = |t: &mut Trainer| validation::validate(t, self.config, held, &mut feed);
                    let found = trainer.with_evaluated(look)?;
                    line.validated = Some(found);
                    saved = self.keep_if_best(trainer, found.held_back)?;
                }
                hooks.step(&line, self.plan.total_steps);
                log.add(line)?;
                saved |= self.checkpoint(trainer)?;
                if saved || self.at.step.is_multiple_of(self.config.saving.state_every) {
                    self.save_state(trainer)?;
                }
                self.sample(trainer, hooks)?;
            }
        } else {
            self.sample(trainer, hooks)?;
        }
        let checkpoints = self.result(keep_best, hooks);
        let facts = Facts {
            parameters: trainer.trained.size(),
            layers: trainer.trained.constants.len(),
            plan: self.plan,
            config: self.config.clone(),
            base_name: self.base.name.clone(),
            base_digest: self.base.digest.clone(),
            resumed_from: self.resumed_from,
        };
        Ok(Trained { checkpoints, log: log.lines, facts })
    }

    /// Are the pictures that are held back looked at after this step?
    fn looks(&self) -> bool {
        let step = self.at.step;
        step.is_multiple_of(self.config.validation.validation_every) || step == self.plan.total_steps
    }

    /// Has pictures made if they are due.
    fn sample(&mut self, trainer: &mut Trainer, hooks: &mut dyn Hooks) -> Result<()> {
        let (step, total) = (self.at.step, self.plan.total_steps);
        if !self.config.samples.due(step, total) {
            return Ok(());
        }
        let file = self.file(trainer, &self.config.saving.name)?;
        let made = hooks.sample(step, total, &file);
        if made.is_err() && self.saved != Some(step) {
            self.save_state(trainer)?;
        }
        made
    }

    /// Waits while that is what whoever watches wants.
    fn rest(&mut self, trainer: &Trainer, hooks: &mut dyn Hooks) -> Result<()> {
        if self.saved != Some(self.at.step) {
            self.save_state(trainer)?;
        }
        rest(self.at.step, hooks);
        Ok(())
    }

    /// Makes this step the last one.
    fn finish(&mut self, trainer: &mut Trainer, hooks: &mut dyn Hooks) -> Result<()> {
        let step = self.at.step;
        hooks.note(&format!("finished early, after step {step} of {}", self.plan.total_steps));
        self.plan.total_steps = step;
        // It may have been saved as one on the way.
        self.at.checkpoints.retain(|c| c.step != step);
        self.checkpoint(trainer)?;
        self.save_state(trainer)?;
        self.sample(trainer, hooks)
    }

    /// One optimizer step.
    fn one(&mut self, trainer: &mut Trainer, feed: &mut Feed<'_>, factor: f64, smooth: &mut Smooth) -> Result<LogLine> {
        let start = Instant::now();
        let step = self.at.step;
        let slices = self.batches.step(step);
        let epoch = slices.first().map_or(1, |s| s.epoch);
        let mut loss = 0.0;
        for slice in &slices {
            let batch = feed.batch(slice, step)?;
            let losses = trainer.accumulate(&batch)?;
            if !losses.mean.is_finite() {
                let broken = slice.items.iter().zip(&losses.per_image).zip(&batch.times);
                let broken = broken.filter(|((_, l), _)| !l.is_finite());
                let named = broken.map(|((&i, l), t)| format!("{} (timestep {t}, loss {l})", self.dataset.items[i].id));
                bail!(
                    "step {}: the loss is not a finite number: {}; {}",
                    step + 1,
                    named.collect::<Vec<_>>().join(", "),
                    self.advice()
                );
            }
            loss += losses.mean / slices.len() as f64;
        }
        let c = &self.config.optimizer;
        let lrs = Lrs {
            texts: c.text_encoder_lrs().into_iter().map(|rate| rate * factor).collect(),
            network: c.learning_rate() * factor,
        };
        let grad_norm = trainer.update(&lrs).with_context(|| {
            format!("step {}; images: {}; {}", step + 1, self.images(&slices).join(", "), self.advice())
        })?;
        self.at.step = step + 1;
        Ok(LogLine {
            step: step + 1,
            epoch,
            loss,
            smooth: smooth.add(loss),
            lr: lrs.network,
            text_encoder_lr: self.config.network.train_text_encoder.then(|| lrs.texts[0]),
            grad_norm,
            seconds: start.elapsed().as_secs_f64(),
            memory: resident(),
            images: self.images(&slices),
            validated: None,
        })
    }

    fn images(&self, slices: &[Slice]) -> Vec<String> {
        slices.iter().flat_map(|s| &s.items).map(|&i| self.dataset.items[i].id.clone()).collect()
    }

    fn advice(&self) -> String {
        let (state, out) = (self.place.state_dir.display(), self.place.out_dir.display());
        let kept = match self.saved {
            Some(step) => format!("the state of step {step} is kept in {state}, all checkpoints in {out}"),
            None => "no state was saved before".to_owned(),
        };
        format!("{kept}; a lower learning rate is the usual cure")
    }

    /// The feeds of what is trained and of what is held back, if anything is.
    fn feeds(&self, trainer: &Trainer, hooks: &mut dyn Hooks) -> Result<(Feed<'a>, Option<Feed<'a>>)> {
        let device = trainer.device();
        let encoder = Encoder {
            vae: &self.base.vae,
            latent: self.base.latent,
            digest: &vae_identity(self.base, &device)?,
            device: &device,
            store: self.place.cache,
            masked: self.config.loss.masked_loss,
        };
        let c = &self.config.captions;
        let trained = if self.config.network.train_text_encoder { trained_texts(&self.base.text) } else { vec![] };
        let captions = Captions::new(&Own::new(self.config, self.dataset)?, self.dataset, self.plan.total_steps);
        let mut prompts = Prompts::new(&self.base.text, trained, c, &device);
        // Prompts that are drawn anew in each step would only fill the disk.
        if let Some(store) = self.place.cache
            && captions.come_back()
        {
            prompts = prompts.keep_in(store)?;
        }
        let prompts = Rc::new(RefCell::new(prompts));
        let feed = self.feed(&encoder, (self.dataset, &self.batches, captions), prompts.clone(), trainer, hooks)?;
        if self.held.items.is_empty() {
            return Ok((feed, None));
        }
        let batches = Batches::new(self.config, self.held, self.base.needs())?;
        let captions = Captions::new(&Own::new(self.config, self.held)?, self.held, self.plan.total_steps);
        let held = self.feed(&encoder, (self.held, &batches, captions), prompts, trainer, hooks)?;
        Ok((feed, Some(held)))
    }

    /// Encodes what is missing, and makes the feed of batches.
    fn feed(
        &self,
        encoder: &Encoder<'_>,
        (dataset, batches, captions): (&'a Dataset, &Batches, Captions),
        prompts: Rc<RefCell<Prompts<'a>>>,
        trainer: &Trainer,
        hooks: &mut dyn Hooks,
    ) -> Result<Feed<'a>> {
        let latents = encoder.all(self.config, dataset, batches, &mut |done, total| {
            hooks.caching(done, total);
            if hooks.cancelled() { bail!(Cancelled { step: self.at.step }) } else { Ok(()) }
        })?;
        let path = trainer.objective.path.clone();
        let last = path.len() as u32;
        let noise = &self.config.noise;
        let timesteps = (noise.min_timestep, noise.max_timestep.unwrap_or(last));
        ensure!(
            timesteps.0 < timesteps.1 && timesteps.1 <= last,
            "`min_timestep` and `max_timestep`: expected a range within 0 to {last}, found {} to {}",
            timesteps.0,
            timesteps.1
        );
        Ok(Feed {
            config: self.config,
            dataset,
            latents,
            prompts,
            batches: batches.clone(),
            captions,
            prediction: trainer.objective.prediction,
            path,
            timesteps,
            sizes: self.base.network.takes().size,
            device: encoder.device.clone(),
        })
    }

    fn save_state(&mut self, trainer: &Trainer) -> Result<()> {
        state::save(&self.place.state_dir, &self.at, &trainer.trained, trainer.optimizer.as_ref())?;
        self.saved = Some(self.at.step);
        for path in self.stale.drain(..) {
            // A file that cannot be removed only takes space.
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }
}

/// Identity of a run: what its result depends on.
fn fingerprint(config: &Config, base: &Base, dataset: &Dataset) -> Result<String> {
    let start = config.network.start_from.as_ref().map(|path| digest(path).with_context(|| path.display().to_string()));
    let mut hash = Sha256::new();
    let parts = [serde_json::to_string(&config.identity())?, base.digest.clone(), dataset.digest()];
    for part in parts.into_iter().chain(start.transpose()?) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// What a VAE makes of a picture tells it apart, wherever it was loaded from.
fn vae_identity(base: &Base, device: &Device) -> Result<String> {
    let side = 8 * base.vae.config().factor();
    let values = (0..3 * side * side).map(|i| (i as f32 * 0.37).sin());
    let (mean, logvar) = base.vae.encode(&Tensor::from_iter(values, device)?.reshape((1, 3, side, side))?)?;
    let mut hash = Sha256::new();
    for tensor in [mean, logvar] {
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        values.iter().for_each(|v| hash.update(v.to_le_bytes()));
    }
    Ok(format!("{:x} {:?}", hash.finalize(), base.latent))
}

fn digest(path: &Path) -> std::io::Result<String> {
    Ok(format!("{:x}", Sha256::digest(std::fs::read(path)?)))
}

//! Which networks a run saves, and which of them it keeps.

use super::{CheckpointFile, Run};
use crate::hooks::Hooks;
use crate::metadata::{self, Facts};
use crate::safetensors_file::write_atomic;
use crate::state::Best;
use crate::step::Trainer;
use anyhow::Result;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

impl Run<'_> {
    /// The network as a file, as it is now.
    pub(super) fn file(&self, trainer: &mut Trainer, title: &str) -> Result<Vec<u8>> {
        let facts = Facts {
            config: self.config,
            dataset: self.dataset,
            plan: &self.plan,
            prediction: trainer.objective.prediction,
            zero_snr: trainer.objective.path.ends_in_noise(),
            base_name: &self.base.name,
            base_digest: &self.base.digest,
            architecture: self.base.family.architecture,
            base_version: self.base.family.base_model_version,
            lora_module: self.base.family.network.trainer,
            fingerprint: &self.at.fingerprint,
        };
        let entries = trainer.with_evaluated(|t| Ok(t.trained.entries()))?;
        metadata::file(&facts, self.at.step, self.epoch, title, &entries)
    }

    /// Saves a checkpoint if one is due after this step.
    pub(super) fn checkpoint(&mut self, trainer: &mut Trainer) -> Result<bool> {
        let (step, epoch, c) = (self.at.step, self.epoch, &self.config.saving);
        let is_last = step == self.plan.total_steps;
        let of_epoch = step.is_multiple_of(self.plan.steps_per_epoch)
            && c.save_every_epochs.is_some_and(|n| epoch.is_multiple_of(n));
        let of_step = c.save_every_steps.is_some_and(|n| step.is_multiple_of(n));
        // Names as sd-scripts writes them.
        let stem = if is_last {
            c.name.clone()
        } else if of_step {
            format!("{}-step{step:08}", c.name)
        } else if of_epoch {
            format!("{}-{epoch:06}", c.name)
        } else {
            return Ok(false);
        };
        let file = self.write(trainer, &stem)?;
        self.at.checkpoints.push(CheckpointFile { is_last, ..file });
        self.retire();
        Ok(true)
    }

    /// Saves a checkpoint if pictures that are held back never had so low a loss.
    pub(super) fn keep_if_best(&mut self, trainer: &mut Trainer, loss: f64) -> Result<bool> {
        if self.at.best.as_ref().is_some_and(|best| best.loss <= loss) {
            return Ok(false);
        }
        // Each has a name of its own: the last state on disk may still list the one before.
        let stem = format!("{}-best-{:08}", self.config.saving.name, self.at.step);
        let file = CheckpointFile { is_best: true, ..self.write(trainer, &stem)? };
        let before = self.at.best.replace(Best { loss, file });
        self.stale.extend(before.map(|b| self.place.out_dir.join(b.file.path)));
        Ok(true)
    }

    /// The checkpoints of the whole run.
    pub(super) fn result(&mut self, keep_best: bool, hooks: &mut dyn Hooks) -> Vec<CheckpointFile> {
        let mut all = std::mem::take(&mut self.at.checkpoints);
        if keep_best && self.at.best.is_none() {
            hooks.note(
                "no best checkpoint is known, since no pictures were looked at that are held back: the last is kept",
            );
        }
        if let Some(best) = self.at.best.take() {
            let step = best.file.step;
            if keep_best {
                all.retain(|c| c.step != step);
                all.iter_mut().for_each(|c| c.is_last = false);
                hooks.note(&format!(
                    "the result is the checkpoint of step {step}, whose validation loss is {:.4}",
                    best.loss
                ));
                all.push(CheckpointFile { is_last: true, ..best.file });
            } else if let Some(same) = all.iter_mut().find(|c| c.step == step) {
                same.is_best = true;
            } else {
                let place = all.partition_point(|c| c.step < step);
                all.insert(place, best.file);
            }
        }
        all.iter_mut().for_each(|c| c.path = self.place.out_dir.join(&c.path));
        all
    }

    fn write(&self, trainer: &mut Trainer, stem: &str) -> Result<CheckpointFile> {
        let bytes = self.file(trainer, stem)?;
        let path = PathBuf::from(format!("{stem}.safetensors"));
        write_atomic(&self.place.out_dir.join(&path), &bytes)?;
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        Ok(CheckpointFile { step: self.at.step, epoch: self.epoch, path, sha256, is_last: false, is_best: false })
    }

    /// Takes checkpoints out of the list that are too many; their files go once the state is saved.
    fn retire(&mut self) {
        let Some(keep) = self.config.saving.keep_checkpoints else { return };
        let list = &mut self.at.checkpoints;
        let before_last = list.iter().filter(|c| !c.is_last).count();
        let gone: Vec<_> = list.drain(..before_last.saturating_sub(keep)).collect();
        self.stale.extend(gone.into_iter().map(|c| self.place.out_dir.join(c.path)));
    }
}

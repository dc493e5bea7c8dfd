//! Batches as tensors: latents with the VAE's own noise, noise, timesteps and prompts, all drawn from streams that
//! depend on the number of the batch alone.

use crate::Config;
use crate::batches::{Batches, Slice};
use crate::captions::Captions;
use crate::dice::{Dice, Purpose, Stream};
use crate::diffusion::with_offset;
use crate::images::{Latents, Pick};
use crate::step::{Batch, Text};
use crate::text_rows::{join_rows, rows_of};
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use data::Dataset;
use models::{TextPart, Texts};
use std::collections::HashMap;

/// Text states that are kept at most; with shuffled tags nearly every prompt is new.
const KEPT_PROMPTS: usize = 2048;

pub(crate) struct Feed<'a> {
    pub(crate) config: &'a Config,
    pub(crate) dataset: &'a Dataset,
    pub(crate) latents: Latents,
    /// The base's own text encoder, without a network.
    pub(crate) text: &'a Texts,
    pub(crate) batches: Batches,
    pub(crate) captions: Captions,
    /// Timesteps that may be drawn: from, to (not included).
    pub(crate) timesteps: (u32, u32),
    pub(crate) device: Device,
    /// Prompt → (1, n, d).
    pub(crate) encoded: HashMap<String, Tensor>,
}

impl Feed<'_> {
    /// The tensors of a batch.
    pub(crate) fn batch(&mut self, slice: &Slice, step: u64) -> Result<Batch> {
        let latents = self.latents(slice)?;
        let noise = self.noise(slice.index, latents.dims4()?)?;
        let (low, high) = self.timesteps;
        let mut dice = Stream::new(self.config.run.seed, Purpose::Timestep, slice.index);
        let timesteps = slice.items.iter().map(|_| low + dice.below((high - low) as usize) as u32).collect();
        let prompts = self.captions.draw(slice, step, self.config.run.seed);
        let text = if self.config.network.train_text_encoder {
            let ids = prompts.iter().map(|p| self.ids(p)).collect::<Result<Vec<_>>>()?;
            Text::Ids(Tensor::cat(&ids, 0)?)
        } else {
            Text::States(self.states(&prompts)?)
        };
        Ok(Batch { latents, noise, timesteps, text, mask: self.mask(slice)?, weights: self.batches.weights(slice) })
    }

    fn picks(&self, slice: &Slice) -> Vec<Pick<'_>> {
        self.latents.pick(slice, self.config.run.seed)
    }

    /// (b, c, h, w)
    fn latents(&self, slice: &Slice) -> Result<Tensor> {
        let picks = self.picks(slice);
        let moments: Vec<_> = picks.iter().map(|p| p.moments).collect();
        let mut dice = Stream::new(self.config.run.seed, Purpose::Latent, slice.index);
        let mut values = Vec::new();
        for m in &moments {
            values.extend(m.mean.iter().zip(&m.spread).map(|(mean, spread)| mean + spread * dice.normal() as f32));
        }
        let Some((c, h, w)) = moments.first().map(|m| m.shape) else { anyhow::bail!("a batch without images") };
        ensure!(moments.iter().all(|m| m.shape == (c, h, w)), "a batch with latents of different sizes");
        Ok(Tensor::from_vec(values, (moments.len(), c, h, w), &self.device)?)
    }

    fn noise(&self, index: u64, (b, c, h, w): (usize, usize, usize, usize)) -> Result<Tensor> {
        let seed = self.config.run.seed;
        let draw = |purpose, n| Stream::new(seed, purpose, index).normals(n);
        let noise = Tensor::from_vec(draw(Purpose::Noise, b * c * h * w), (b, c, h, w), &self.device)?;
        if self.config.noise.noise_offset == 0.0 {
            return Ok(noise);
        }
        let offset = Tensor::from_vec(draw(Purpose::NoiseOffset, b * c), (b, c, 1, 1), &self.device)?;
        Ok(with_offset(&noise, &offset, self.config.noise.noise_offset)?)
    }

    fn mask(&self, slice: &Slice) -> Result<Option<Tensor>> {
        let picks = self.picks(slice);
        let moments: Vec<_> = picks.iter().map(|p| p.moments).collect();
        let Some(masks) = moments.iter().map(|m| m.mask.clone()).collect::<Option<Vec<_>>>() else { return Ok(None) };
        let (_, h, w) = moments[0].shape;
        Ok(Some(Tensor::from_vec(masks.concat(), (moments.len(), 1, h, w), &self.device)?))
    }

    /// One note about all captions that are longer than the text encoder reads.
    pub(crate) fn cut_captions(&self) -> Result<Option<String>> {
        let (mut cut, mut worst) = (Vec::new(), 0);
        let rows = self.config.captions.rows();
        for (item, caption) in self.dataset.items.iter().zip(self.captions.all()) {
            let (_, lost) = rows_of(self.part()?, &caption, rows)?;
            if lost > 0 {
                cut.push(item.id.as_str());
                worst = worst.max(lost);
            }
        }
        let Some(first) = cut.first() else { return Ok(None) };
        let count = cut.len();
        Ok(Some(format!(
            "{count} captions are too long and lose up to {worst} tokens at their end, {first} among them"
        )))
    }

    /// The text encoder; families that can be trained have one.
    fn part(&self) -> Result<&TextPart> {
        self.text.parts().first().context("a base without a text encoder")
    }

    /// Token ids, (rows, n).
    fn ids(&self, prompt: &str) -> Result<Tensor> {
        let rows = rows_of(self.part()?, prompt, self.config.captions.rows());
        let (rows, _) = rows.with_context(|| format!("prompt {prompt:?}"))?;
        let count = rows.len();
        Ok(Tensor::new(rows.concat().as_slice(), &self.device)?.reshape((count, ()))?)
    }

    /// (b, n, d)
    fn states(&mut self, prompts: &[String]) -> Result<Tensor> {
        let mut states = Vec::new();
        for prompt in prompts {
            if let Some(known) = self.encoded.get(prompt) {
                states.push(known.clone());
                continue;
            }
            let own = self.part()?.encode_ids(&self.ids(prompt)?, Some(self.config.captions.clip_skip))?;
            let own = join_rows(own, self.config.captions.rows())?;
            let new = self.text.combine(vec![own])?.states.detach();
            if self.encoded.len() >= KEPT_PROMPTS {
                self.encoded.clear();
            }
            self.encoded.insert(prompt.clone(), new.clone());
            states.push(new);
        }
        Ok(Tensor::cat(&states, 0)?)
    }
}

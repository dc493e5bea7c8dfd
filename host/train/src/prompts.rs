//! Prompts as the text encoders see them. What an encoder that is not trained makes of a prompt is kept: in memory, and
//! in the store where prompts come back from run to run.

use crate::config::CaptionOptions;
use crate::step::{PartText, Text};
use crate::text_rows::{join_rows, rows_of};
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use data::Store;
use models::{PartStates, TextPart, Texts};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Kind of the store's records.
const KIND: &str = "text-states";

/// Bytes of states that are kept in memory at most; with shuffled tags nearly every prompt is new.
const KEPT_BYTES: usize = 1 << 30;

pub(crate) struct Prompts<'a> {
    /// The base's own text encoders, without a network.
    text: &'a Texts,
    /// Which of them are trained, by their place.
    trained: Vec<usize>,
    clip_skip: Option<usize>,
    /// Tokens of a prompt in an encoder without a length of its own.
    long: usize,
    /// Rows of tokens of a prompt in the others.
    rows: usize,
    device: Device,
    /// The store, and the identity of what fills it.
    store: Option<(&'a Store, String)>,
    /// (encoder, prompt) → states (1, n, d)
    kept: HashMap<(usize, String), PartStates>,
    bytes: usize,
}

impl<'a> Prompts<'a> {
    pub(crate) fn new(text: &'a Texts, trained: Vec<usize>, options: &CaptionOptions, device: &Device) -> Self {
        let (clip_skip, long, rows, device) = (options.clip_skip, options.t5_tokens, options.rows(), device.clone());
        Self { text, trained, clip_skip, long, rows, device, store: None, kept: HashMap::new(), bytes: 0 }
    }

    /// Keeps states in the store from run to run; for prompts that come back.
    pub(crate) fn keep_in(mut self, store: &'a Store) -> Result<Self> {
        let identity = format!("1 {} {:?} {} {}", identity(self.text)?, self.clip_skip, self.long, self.rows);
        self.store = Some((store, identity));
        Ok(self)
    }

    /// The prompts of a batch.
    pub(crate) fn text(&mut self, prompts: &[String]) -> Result<Text> {
        let text = self.text;
        let mut parts = Vec::new();
        for (i, part) in text.parts().iter().enumerate() {
            parts.push(if self.trained.contains(&i) {
                let ids = prompts.iter().map(|p| self.ids(part, p)).collect::<Result<Vec<_>>>()?;
                PartText::Ids(Tensor::cat(&ids, 0)?.to_device(&self.device)?)
            } else {
                let states = prompts.iter().map(|p| self.states(i, p)).collect::<Result<Vec<_>>>()?;
                let pooled: Option<Vec<Tensor>> = states.iter().map(|s| s.pooled.clone()).collect();
                let pooled = pooled.map(|all| Tensor::cat(&all, 0)).transpose()?;
                let states: Vec<Tensor> = states.into_iter().map(|s| s.states).collect();
                PartText::States(PartStates { states: Tensor::cat(&states, 0)?, pooled })
            });
        }
        Ok(Text::Parts(parts))
    }

    /// How many tokens of a prompt no encoder reads.
    pub(crate) fn lost(&self, prompt: &str) -> Result<usize> {
        let lost = |part: &TextPart| Ok(self.rows_of(part, prompt)?.1);
        let lost = self.text.parts().iter().map(lost).collect::<Result<Vec<usize>>>()?;
        Ok(lost.into_iter().min().unwrap_or(0))
    }

    /// A prompt's tokens, in rows of the same length for all prompts, and how many did not fit.
    fn rows_of(&self, part: &TextPart, prompt: &str) -> Result<(Vec<Vec<u32>>, usize)> {
        let cutter = part.tokens();
        if cutter.length().is_some() {
            return rows_of(part, prompt, self.rows).with_context(|| format!("prompt {prompt:?}"));
        }
        let (mut row, _) = part.row_of(prompt).with_context(|| format!("prompt {prompt:?}"))?;
        let cut = row.len().saturating_sub(self.long);
        if cut > 0 {
            row.truncate(self.long - 1);
            row.push(cutter.end());
        }
        row.resize(self.long, cutter.padding());
        Ok((vec![row], cut))
    }

    /// (rows, n)
    fn ids(&self, part: &TextPart, prompt: &str) -> Result<Tensor> {
        let (rows, _) = self.rows_of(part, prompt)?;
        Ok(Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu)?)
    }

    /// What encoder number `i` makes of a prompt; states (1, n, d).
    fn states(&mut self, i: usize, prompt: &str) -> Result<PartStates> {
        let place = (i, prompt.to_owned());
        if let Some(known) = self.kept.get(&place) {
            return Ok(known.clone());
        }
        let states = match self.stored(i, prompt) {
            Some(states) => states?,
            None => {
                let part = &self.text.parts()[i];
                let found = part.encode_ids(&self.ids(part, prompt)?, self.clip_skip)?;
                let rows = if part.tokens().length().is_some() { self.rows } else { 1 };
                let PartStates { states, pooled } = join_rows(found, rows)?;
                let states = PartStates { states: states.detach(), pooled: pooled.map(|p| p.detach()) };
                self.put(i, prompt, &states)?;
                states
            }
        };
        let to = |t: &Tensor| t.to_device(&self.device);
        let states = PartStates { states: to(&states.states)?, pooled: states.pooled.as_ref().map(to).transpose()? };
        let size = 4 * (states.states.elem_count() + states.pooled.as_ref().map_or(0, Tensor::elem_count));
        if self.bytes + size > KEPT_BYTES {
            self.kept.clear();
            self.bytes = 0;
        }
        self.bytes += size;
        self.kept.insert(place, states.clone());
        Ok(states)
    }

    fn key(identity: &str, i: usize, prompt: &str) -> String {
        format!("{:x}", Sha256::digest(format!("{identity} {i} {prompt}")))
    }

    fn stored(&self, i: usize, prompt: &str) -> Option<Result<PartStates>> {
        let (store, identity) = self.store.as_ref()?;
        let found = store.get_record(KIND, &Self::key(identity, i, prompt)).unwrap_or_else(|e| {
            // A damaged record has been removed and is made again.
            tracing::warn!("{e}");
            None
        })?;
        Some(read(&found))
    }

    fn put(&self, i: usize, prompt: &str, states: &PartStates) -> Result<()> {
        let Some((store, identity)) = &self.store else { return Ok(()) };
        store.put_record(KIND, &Self::key(identity, i, prompt), &write(states)?)?;
        Ok(())
    }
}

/// What the encoders make of a prompt tells them apart: files, LoRAs on them and clip skips of any origin.
fn identity(text: &Texts) -> Result<String> {
    let mut hash = Sha256::new();
    for part in text.parts() {
        let (row, _) = part.row_of("a probe, of what this encoder makes of 7 words")?;
        let found = part.encode_ids(&Tensor::from_slice(&row, (1, row.len()), &Device::Cpu)?, None)?;
        hash.update(write(&found)?);
    }
    Ok(format!("{:x}", hash.finalize()))
}

fn write(states: &PartStates) -> Result<Vec<u8>> {
    let tensors = [("states", Some(&states.states)), ("pooled", states.pooled.as_ref())];
    let tensors = tensors.into_iter().filter_map(|(name, t)| Some((name, t?.to_dtype(DType::F32).ok()?)));
    let owned: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .map(|(name, t)| {
            let values: Vec<f32> = t.flatten_all()?.to_vec1()?;
            Ok((name, t.dims().to_vec(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        })
        .collect::<Result<_>>()?;
    let views = owned.iter().map(|(name, shape, bytes)| {
        Ok((*name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes)?))
    });
    Ok(safetensors::serialize(views.collect::<Result<Vec<_>>>()?, None)?)
}

fn read(bytes: &[u8]) -> Result<PartStates> {
    let file = safetensors::SafeTensors::deserialize(bytes).context("kept text states")?;
    let tensor = |name: &str| -> Option<Result<Tensor>> {
        let view = file.tensor(name).ok()?;
        let values: Vec<f32> =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Some(Tensor::from_vec(values, view.shape(), &Device::Cpu).map_err(Into::into))
    };
    let states = tensor("states").context("kept text states: no `states`")??;
    Ok(PartStates { states, pooled: tensor("pooled").transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_states_come_back() {
        for pooled in [None, Some(Tensor::new(&[[0.5f32, 1.0]], &Device::Cpu).unwrap())] {
            let states =
                PartStates { states: Tensor::new(&[[[1.0f32, -2.0], [3.0, 4.5]]], &Device::Cpu).unwrap(), pooled };
            let back = read(&write(&states).unwrap()).unwrap();
            assert_eq!(back.states.to_vec3::<f32>().unwrap(), states.states.to_vec3::<f32>().unwrap());
            assert_eq!(back.pooled.is_some(), states.pooled.is_some());
        }
        assert!(read(b"nothing").is_err());
    }
}

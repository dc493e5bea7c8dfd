//! The tensors of one network, under the names that the network uses.

use super::file::{Entry, WeightFile};
use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The tensors of one network out of one or more files. Asking for a tensor that is missing or has another shape is
/// noted, and told by [`Part::finish`] with everything else that does not fit.
pub(crate) struct Part {
    place: String,
    entries: BTreeMap<String, (Arc<WeightFile>, String)>,
    used: BTreeSet<String>,
    problems: Vec<String>,
    /// State of the generator, where there are no files.
    random: Option<u64>,
}

impl Part {
    /// `place` names file and part for messages; `entries` maps the network's names to keys of files.
    pub(crate) fn new(place: String, entries: BTreeMap<String, (Arc<WeightFile>, String)>) -> Part {
        Part { place, entries, used: BTreeSet::new(), problems: Vec::new(), random: None }
    }

    /// Every tensor that is asked for, evenly distributed within ±√(3 / fan-in), so that activations keep their size.
    pub(crate) fn random(seed: u64) -> Part {
        let place = "random weights".to_owned();
        Part { random: Some(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), ..Part::new(place, BTreeMap::new()) }
    }

    /// The tensor as f32. Ones at the end of a shape may be missing or surplus, as with 1×1 convolutions that other
    /// programs store as matrices. A tensor that is not there or does not fit is noted and replaced by zeros.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        if let Some(state) = &mut self.random {
            let bound = (3.0 / shape[1..].iter().product::<usize>().max(1) as f32).sqrt();
            let values = (0..shape.iter().product()).map(|_| {
                // xorshift64 (Marsaglia 2003).
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                ((*state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * bound
            });
            return Ok(Tensor::from_vec(values.collect::<Vec<f32>>(), shape, &Device::Cpu)?);
        }
        self.used.insert(name.to_owned());
        let found = match self.entry(name) {
            None => {
                self.problems.push(format!("`{name}` is missing, expected shape {shape:?}"));
                None
            }
            Some((file, key, entry)) if without_ones(&entry.shape) == without_ones(shape) => {
                let (values, dtype) = (file.values(entry), entry.dtype);
                if values.is_none() {
                    self.problems.push(format!("`{key}`: expected floats, found {dtype:?}"));
                }
                values
            }
            Some((_, key, entry)) => {
                self.problems.push(format!("`{key}`: expected shape {shape:?}, found {:?}", entry.shape));
                None
            }
        };
        let values = found.unwrap_or_else(|| vec![0.0; shape.iter().product()]);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// Tells all problems at once: what was missing or misshapen, and what nobody asked for.
    pub(crate) fn finish(mut self, hint: &str) -> Result<()> {
        for (name, (_, key)) in &self.entries {
            if !self.used.contains(name) {
                self.problems.push(format!("`{key}` is surplus: no layer of this network has that name"));
            }
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        let place = format!("{}: {} keys do not fit the network", self.place, self.problems.len());
        Err(Error::Keys { place, problems: self.problems, hint: hint.to_owned() })
    }

    fn entry(&self, name: &str) -> Option<(&WeightFile, &str, &Entry)> {
        let (file, key) = self.entries.get(name)?;
        Some((file, key, file.entries.get(key)?))
    }
}

fn without_ones(shape: &[usize]) -> &[usize] {
    let mut shape = shape;
    while let [rest @ .., 1] = shape {
        if rest.len() < 2 {
            break;
        }
        shape = rest;
    }
    shape
}

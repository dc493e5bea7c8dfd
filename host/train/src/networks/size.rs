//! How large a network will be, before any of it is made.

use super::attach::choose;
use super::{find, naming};
use crate::Config;
use crate::safetensors_file::{self, Entry};
use crate::setup::Base;
use anyhow::Result;
use models::{Network, Texts};
use serde::{Deserialize, Serialize};

/// How large a network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// Layers that get one.
    pub layers: usize,
    /// Tensors that are trained.
    pub tensors: usize,
    /// Numbers that are trained.
    pub numbers: usize,
    /// Bytes of the saved file without the free-form strings of its header, which are some kilobytes.
    pub bytes: u64,
}

/// The size of the network that a configuration asks for.
///
/// # Errors
/// As [`super::attach`], but for what happens when tensors are made.
pub fn sizes(config: &Config, network: &Network, text: &Texts) -> Result<Sizes> {
    let row = find(&config.network.kind)?;
    let chosen = choose(config, network, text)?;
    let mut entries = Vec::new();
    let mut sizes = Sizes { layers: chosen.len(), ..Sizes::default() };
    for layer in &chosen {
        let entry = |end: &str, shape| Entry { name: format!("{}.{end}", layer.target.kohya), shape, values: vec![] };
        for leaf in (row.leaves)(&layer.target.shape, &layer.shape) {
            sizes.tensors += 1;
            sizes.numbers += leaf.shape.iter().product::<usize>();
            entries.push(entry(leaf.name, leaf.shape));
        }
        entries.push(entry("alpha", vec![]));
    }
    if config.network.naming == naming::Naming::Peft {
        entries = naming::Peft::new(&chosen, row, text)?.entries(entries);
    }
    sizes.bytes = safetensors_file::size(&entries, config.saving.save_dtype) as u64;
    Ok(sizes)
}

/// Bytes of the file that a run with this configuration saves, and how many numbers it trains.
///
/// # Errors
/// As [`sizes`].
pub fn predicted_size(config: &Config, base: &Base) -> Result<(u64, usize)> {
    let sizes = sizes(config, &base.network, &base.text)?;
    Ok((sizes.bytes, sizes.numbers))
}

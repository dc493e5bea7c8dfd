//! The files of a diffusers folder, and the digest over what a model was read from.

use crate::config::Json;
use crate::error::{Error, Result};
use crate::weights::WeightFile;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The safetensors files of one part: `stem.safetensors`, shards with an index, or a variant (`stem.fp16.safetensors`)
/// of either. Full precision goes first, then variants by their names.
pub(super) fn weights(folder: &Path, stem: &str) -> Result<Vec<Arc<WeightFile>>> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map_err(Error::io(folder))?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    // Shorter names first: those without a variant.
    names.sort_by_key(|name| (name.len(), name.clone()));
    let middle = |name: &str, start: &str, end: &str| {
        let middle = name.strip_prefix(start)?.strip_suffix(end)?;
        (middle.is_empty() || (middle.starts_with('.') && !middle[1..].contains('.'))).then(|| middle.to_owned())
    };
    let index = format!("{stem}.safetensors.index");
    for name in &names {
        if middle(name, stem, ".safetensors").is_some() {
            return Ok(vec![Arc::new(WeightFile::open(&folder.join(name))?)]);
        }
        if middle(name, &index, ".json").is_some() {
            return shards(folder, name);
        }
    }
    for name in ["diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt"] {
        if folder.join(name).exists() {
            WeightFile::open(&folder.join(name))?;
        }
    }
    Err(Error::file(folder, format!("expected {stem}.safetensors, found no such file")))
}

fn shards(folder: &Path, index: &str) -> Result<Vec<Arc<WeightFile>>> {
    let index = folder.join(index);
    let map: BTreeMap<String, String> = Json::read(&index)?.required("weight_map")?;
    let mut names: Vec<String> = map.into_values().collect();
    names.sort();
    names.dedup();
    let open = |name: &String| {
        if Path::new(name).components().count() != 1 {
            return Err(Error::file(&index, format!("`{name}` is no file name of this folder")));
        }
        WeightFile::open(&folder.join(name)).map(Arc::new)
    };
    names.iter().map(open).collect()
}

/// A digest over several files, in order.
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn new() -> Hasher {
        Hasher(Sha256::new())
    }

    /// Adds bytes with their length in front, so that no two lists of files look the same.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn file(&mut self, path: &Path) -> Result<()> {
        self.bytes(&std::fs::read(path).map_err(Error::io(path))?);
        Ok(())
    }

    /// The small files of a folder that are there.
    pub(super) fn settings(&mut self, folder: &Path, names: &[&str]) -> Result<()> {
        for name in names {
            if folder.join(name).exists() {
                self.file(&folder.join(name))?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Files of a tokenizer's folder that change what it does.
pub(super) const TOKENIZER: &[&str] = &["tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"];

/// The settings of a diffusers folder's noise.
pub(super) const SCHEDULER: &str = "scheduler/scheduler_config.json";

//! Textual-inversion embeddings (Gal et al. 2022, arXiv:2208.01618): files of vectors that stand for words.
//!
//! Read are kohya's and the web UI's `emb_params`, `clip_l` and `clip_g` of SDXL, and files of one tensor of any name,
//! as diffusers saves it.

use super::names::nearest;
use crate::error::{Error, Result};
use crate::text::TokenCutter;
use crate::weights::WeightFile;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The embeddings that a host has, by name: the file's path in its folder, without ending.
#[derive(Clone, Debug, Default)]
pub struct Embeddings {
    files: BTreeMap<String, PathBuf>,
    folders: Vec<PathBuf>,
}

/// Endings of files with embeddings; only the first is read, the others are Python pickles.
const ENDINGS: [&str; 3] = ["safetensors", "pt", "bin"];
/// Deeper folders are not looked at.
const MAX_DEPTH: usize = 4;
/// Names of tensors that belong to one encoder: the file's key, the encoder's name.
const OF_ENCODER: [(&str, &str); 3] = [("clip_l", "clip_l"), ("clip_g", "clip_g"), ("t5xxl", "t5xxl")];

impl Embeddings {
    /// The files below these folders; earlier folders hide names in later ones.
    pub fn in_folders(folders: &[PathBuf]) -> Self {
        let mut found = Self { files: BTreeMap::new(), folders: folders.to_vec() };
        for folder in folders {
            found.look_into(folder, "", 0);
        }
        found
    }

    fn look_into(&mut self, folder: &Path, prefix: &str, depth: usize) {
        // A folder that is not there holds no embeddings.
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        // Of files that differ in their ending only, the readable one counts.
        let rank = |p: &PathBuf| ENDINGS.iter().position(|e| p.extension().is_some_and(|x| x == *e));
        paths.sort_by_key(rank);
        for path in paths {
            let part =
                |name: Option<&std::ffi::OsStr>| format!("{prefix}{}", name.unwrap_or_default().to_string_lossy());
            if path.is_dir() {
                if depth < MAX_DEPTH {
                    self.look_into(&path, &format!("{}/", part(path.file_name())), depth + 1);
                }
            } else if rank(&path).is_some() {
                self.files.entry(part(path.file_stem())).or_insert(path);
            }
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Files that a prompt may call up, for a node's identity: those whose name is in it somewhere.
    pub fn perhaps_named(&self, prompt: &str) -> Vec<&Path> {
        let prompt = prompt.to_lowercase();
        let named = |name: &str| prompt.contains(&last(name).to_lowercase());
        self.files.iter().filter(|(name, _)| named(name)).map(|(_, path)| path.as_path()).collect()
    }

    /// All files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.values().map(PathBuf::as_path)
    }

    /// The file that `embedding:name` means, and what stands behind the name.
    pub(super) fn called<'a>(&'a self, name: &'a str) -> Result<(&'a str, &'a str)> {
        if let Some(found) = self.find(name)? {
            return Ok((found, ""));
        }
        let bare = name.trim_end_matches([',', '.', ';', ':', '!', '?']);
        if let Some(found) = self.find(bare)? {
            return Ok((found, &name[bare.len()..]));
        }
        let looked: Vec<String> = self.folders.iter().map(|f| f.display().to_string()).collect();
        let near = nearest(bare, self.names());
        let there =
            if near.is_empty() { "there are none".into() } else { format!("the nearest are {}", near.join(", ")) };
        Err(Error::Prompt(format!("no embedding `{bare}` in {}: {there}", looked.join(", "))))
    }

    /// The whole name or its last part, with or without its ending.
    fn find(&self, name: &str) -> Result<Option<&str>> {
        let bare = ENDINGS.iter().find_map(|e| name.strip_suffix(e)?.strip_suffix('.')).unwrap_or(name);
        if let Some((found, _)) = self.files.get_key_value(bare) {
            return Ok(Some(found));
        }
        let found: Vec<&str> = self.names().filter(|known| last(known) == bare).collect();
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Error::Prompt(format!(
                "embedding `{bare}` may be any of {}; write its folder too",
                found.join(", ")
            ))),
        }
    }

    /// The tokens of each name's last part, the longest first, and the name.
    pub(super) fn words(&self, cutter: &dyn TokenCutter) -> Result<Vec<(Vec<u32>, &str)>> {
        let mut words = Vec::new();
        for name in self.names() {
            let ids = cutter.ids(last(name))?;
            if !ids.is_empty() {
                words.push((ids, name));
            }
        }
        words.sort_by_key(|(ids, _)| std::cmp::Reverse(ids.len()));
        Ok(words)
    }

    /// The vectors (width,) that a file has for an encoder; none if they are for others.
    pub(super) fn vectors(&self, name: &str, encoder: &str, width: usize) -> Result<Option<Vec<Tensor>>> {
        let Some(path) = self.files.get(name) else { return Ok(None) };
        let file = WeightFile::open(path)?;
        let own = OF_ENCODER.iter().find(|(_, e)| *e == encoder).and_then(|(key, _)| file.entries.get_key_value(*key));
        let of_any = |key: &str| !OF_ENCODER.iter().any(|(k, _)| *k == key);
        let found = match own {
            Some(found) => Some(found),
            // A tensor that says nothing of its encoder belongs to that of its width.
            None => file.entries.iter().find(|(key, e)| of_any(key) && e.shape.last() == Some(&width)),
        };
        let Some((key, entry)) = found else {
            let known = file.entries.iter().any(|(key, e)| !of_any(key) || e.shape.len() <= 2);
            return if known { Ok(None) } else { Err(Error::file(path, "no embedding: it has no list of vectors")) };
        };
        let count = match entry.shape[..] {
            [n] if n == width => 1,
            [n, d] if d == width => n,
            _ => {
                let what = format!(
                    "`{key}`: expected vectors of {width} features, as `{encoder}` of this model takes, found shape {:?}; \
                     the embedding was made for another model",
                    entry.shape
                );
                return Err(Error::file(path, what));
            }
        };
        let values = file.values(entry).ok_or_else(|| Error::file(path, format!("`{key}` holds no floats")))?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::file(path, format!("`{key}` holds values that are no numbers")));
        }
        let vectors = (0..count).map(|i| {
            let of_one = values[i * width..(i + 1) * width].to_vec();
            Ok(Tensor::from_vec(of_one, width, &Device::Cpu)?)
        });
        vectors.collect::<Result<Vec<_>>>().map(Some)
    }
}

/// A name without its folder.
fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

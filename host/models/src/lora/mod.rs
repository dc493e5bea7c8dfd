//! Networks in files: LoRA and its relatives. Reads every kind of [`KINDS`] in every naming of [`NAMINGS`], and puts them
//! onto a model's networks as patches of their parameters.
//!
//! Start at [`File`]. A strength s makes W + s·Δ(W) of a weight W, where Δ is what the kind's row says for strength 1.

mod apply;
#[cfg(test)]
mod cells;
#[cfg(test)]
mod full_size;
mod guess;
mod kinds;
mod layouts;
mod leaves;
mod math;
mod namings;
pub(crate) mod page;
mod place;
mod table;
#[cfg(test)]
mod testing;

use crate::adapter::{Target, TargetKind};
use crate::error::{Error, Result};
use crate::family::Family;
pub use crate::patch::How;
use crate::patch::Patch;
use crate::weights::WeightFile;
pub use apply::{Applied, Options, Unmatched};
use kinds::Module;
pub use kinds::{DoraNorm, KINDS, Kind};
use namings::Part;
pub use namings::{NAMINGS, Naming};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
pub use table::support;

/// A module of diffusers, and the rows of one of our layers that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffusersModule {
    /// With the network's folder in front, as PEFT's files have it: `transformer.transformer_blocks.0.attn.to_q`.
    pub name: String,
    /// Stretches of our layer's outputs in the module's order: from, count.
    pub rows: Vec<(usize, usize)>,
}

/// The modules that diffusers has where a layer of a family's denoising network is: one, or several for a joined matrix.
pub fn diffusers_modules(family: &Family, target: &Target) -> Vec<DiffusersModule> {
    let shape = match target.shape {
        TargetKind::Linear { inp, out } => vec![out, inp],
        TargetKind::Conv { inp, out, kernel } => vec![out, inp, kernel, kernel],
    };
    let out = shape[0];
    let parameter =
        layouts::Parameter { path: target.path.clone(), original: target.original.clone(), shape, bias: false };
    let spellings = table::layout(family).map(|layout| layout.spell(&[parameter])).unwrap_or_default();
    let module = |spelling: layouts::Spelling| {
        let name = format!("{}.{}", family.network.folder, spelling.diffusers?);
        Some(DiffusersModule { name, rows: spelling.place.rows.pieces(out) })
    };
    spellings.into_iter().filter_map(module).collect()
}

/// What PEFT and diffusers write behind a module's name where kohya's programs write `end`, such as `.lora_up.weight`.
pub fn peft_end(end: &str) -> Option<&'static str> {
    leaves::LEAVES.iter().find(|leaf| leaf.kohya == end).map(|leaf| leaf.peft)
}

/// A file with a network, read and checked, not yet matched with a model.
pub struct File {
    path: PathBuf,
    metadata: HashMap<String, String>,
    modules: BTreeMap<String, (&'static Kind, Module)>,
    /// Keys that are no tensor of any kind.
    others: Vec<String>,
    /// What the file was made for, if it does not fit.
    guess: String,
    digest: String,
    /// What has been made for parameters of models so far: another strength shares the changes.
    made: Mutex<HashMap<Made, Arc<dyn Patch>>>,
}

/// What a patch was made for.
#[derive(PartialEq, Eq, Hash)]
struct Made {
    part: Part,
    path: String,
    whole: Vec<usize>,
    comfyui: bool,
}

/// The tensors of a module by their leaves.
pub(crate) struct Leaves {
    file: Arc<WeightFile>,
    module: String,
    keys: BTreeMap<&'static str, String>,
    used: BTreeSet<&'static str>,
    problems: Vec<String>,
}

/// A tensor that is read when it is used.
pub(crate) struct Stored {
    file: Arc<WeightFile>,
    key: String,
    shape: Vec<usize>,
}

impl File {
    /// Reads a `.safetensors` file. Everything that is wrong with its tensors is told at once.
    pub fn read(path: &Path) -> Result<File> {
        let file = Arc::new(WeightFile::open(path)?);
        let (parts, others) = leaves::modules(&file);
        // A checkpoint may have a key or two that end like those of a network; a network's keys are most of its file.
        if parts.is_empty() || others.len() > file.entries.len() / 2 {
            return Err(guess::not_a_network(&file, &others));
        }
        let guess = guess::family(&parts, &file.metadata);
        let (mut problems, mut modules) = (Vec::new(), BTreeMap::new());
        for (name, mut leaves) in parts {
            match kinds::read(&mut leaves) {
                Ok(module) => {
                    modules.insert(name, module);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            let place = format!("{}: a damaged network file", path.display());
            return Err(Error::Keys { place, problems, hint: String::new() });
        }
        let digest = Sha256::digest(file.bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let (path, metadata) = (path.to_owned(), file.metadata.clone());
        Ok(File { path, metadata, modules, others, guess, digest, made: Mutex::default() })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The free-form strings of its header (`ss_…`, `modelspec.…`).
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Names of the modules it changes, as the file has them.
    pub fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().map(String::as_str)
    }

    /// What it is: the kinds of its modules, the most frequent first.
    pub fn kind(&self) -> String {
        let mut counts: Vec<(usize, &str)> = Vec::new();
        for (kind, _) in self.modules.values() {
            match counts.iter_mut().find(|(_, name)| *name == kind.name) {
                Some((count, _)) => *count += 1,
                None => counts.push((1, kind.name)),
            }
        }
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        counts.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(" and ")
    }
}

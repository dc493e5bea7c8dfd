//! Parts of models from files of their own, as ComfyUI's UNETLoader, VAELoader, CLIPLoader and DualCLIPLoader read them.

use super::files::{self, Hasher};
use super::single::{noise, predicted};
use super::{Options, Source, recognise, shapes};
use crate::config::Json;
use crate::error::{Error, Result};
use crate::family::{self, FAMILIES, Family, Kind, Noise, Prediction, Shapes, TextRow};
use crate::memory::Memory;
use crate::network::Network;
use crate::text::Texts;
use crate::vae::{self, Vae};
use crate::weights::WeightFile;
use std::path::Path;
use std::sync::Arc;

/// A denoising network without the other parts of a model.
pub struct LoadedNetwork {
    /// What it is.
    pub family: &'static Family,
    /// The network.
    pub network: Network,
    /// What it predicts.
    pub prediction: Prediction,
    /// The noise of its training.
    pub noise: Noise,
    /// SHA-256 over the files, in hexadecimal.
    pub digest: String,
    /// What was recognised, and why, for people.
    pub found: Vec<String>,
}

/// An autoencoder without the other parts of a model.
pub struct LoadedVae {
    /// The autoencoder.
    pub vae: Vae,
    /// SHA-256 over the files, in hexadecimal.
    pub digest: String,
    /// How it was read, for people.
    pub found: Vec<String>,
}

/// Text encoders without the other parts of a model.
pub struct LoadedTexts {
    /// The encoders, of the family that has them together.
    pub text: Texts,
    /// SHA-256 over the files, in hexadecimal.
    pub digest: String,
    /// How they were read, for people.
    pub found: Vec<String>,
}

/// Loads a denoising network from a file of its own, with or without a prefix, from a checkpoint, or from a part's
/// folder of a diffusers model.
pub fn load_network(path: &Path, memory: &Memory) -> Result<LoadedNetwork> {
    load_network_with(path, &Options::within(memory))
}

/// The same with what a file does not say.
pub fn load_network_with(path: &Path, options: &Options) -> Result<LoadedNetwork> {
    let (files, config, digest) = open(path, "diffusion_pytorch_model")?;
    let (family, reason) = recognise(path, &shapes(&files))?;
    let (config, digest) = options.config(family.network.folder, config, digest)?;
    let mut source = below(path, &files, family.network.prefixes);
    source.config = config;
    source.memory = options.memory.clone();
    let prediction = files.first().map_or(family.prediction, |file| predicted(family, &source, file));
    let noise = files.first().map_or(family.noise, |file| noise(family, file));
    let network = (family.network.load)(&source)?;
    let mut found = vec![format!("{}: {reason}", family.name)];
    found.extend(source.notes());
    Ok(LoadedNetwork { family, network, prediction, noise, digest, found })
}

/// Loads an autoencoder from a file of its own in the original or in diffusers' naming, from a checkpoint, or from a
/// part's folder of a diffusers model.
pub fn load_vae(path: &Path, memory: &Memory) -> Result<LoadedVae> {
    load_vae_with(path, &Options::within(memory))
}

/// The same with what a file does not say.
pub fn load_vae_with(path: &Path, options: &Options) -> Result<LoadedVae> {
    let (files, config, digest) = open(path, "diffusion_pytorch_model")?;
    let (config, digest) = options.config("vae", config, digest)?;
    let mut source = below(path, &files, vae::PREFIXES);
    source.config = config;
    source.memory = options.memory.clone();
    if !vae::is_vae(&source.shapes()) {
        return Err(other(path, &shapes(&files), "an autoencoder (VAE)"));
    }
    let vae = vae::load(&source)?;
    Ok(LoadedVae { vae, digest, found: source.notes() })
}

/// Loads text encoders from files of their own. `kind` is the `type` of ComfyUI's nodes: `stable_diffusion`, `sdxl`,
/// `flux`. The order of the files does not matter: each encoder is known by its shape.
pub fn load_texts<P: AsRef<Path>>(paths: &[P], kind: &str, memory: &Memory) -> Result<LoadedTexts> {
    load_texts_with(paths, kind, &Options::within(memory))
}

/// The same with what the files do not say.
pub fn load_texts_with<P: AsRef<Path>>(paths: &[P], kind: &str, options: &Options) -> Result<LoadedTexts> {
    let families: Vec<&'static Family> = FAMILIES.iter().copied().filter(|f| f.text_type == kind).collect();
    if families.is_empty() {
        let mut known: Vec<&str> = FAMILIES.iter().map(|f| f.text_type).collect();
        known.dedup();
        return Err(Error::Unsupported(format!("unknown type of text encoders `{kind}`; known: {}", known.join(", "))));
    }
    let mut hasher = Hasher::new();
    let mut opened = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let (files, config, digest) = open(path, "model")?;
        hasher.bytes(digest.as_bytes());
        opened.push((path, files, config));
    }
    let mut problems = Vec::new();
    for family in families {
        match place(family, &opened) {
            Err(problem) => problems.push(problem),
            Ok(places) => {
                let (mut parts, mut found) = (Vec::new(), Vec::new());
                for (row, at) in places {
                    let (path, files, own) = &opened[at];
                    let (config, digest) = options.config(row.folder, own.clone(), String::new())?;
                    hasher.bytes(digest.as_bytes());
                    let mut source = below(path, files, row.prefixes);
                    source.config = config;
                    source.memory = options.memory.clone();
                    let own_model = path.parent().filter(|_| own.is_some());
                    let model = own_model.or(options.config_from.as_deref());
                    source.tokenizer = model.map(|p| p.join(row.tokenizer)).filter(|p| p.is_dir());
                    parts.push((row.load)(&source, row)?);
                    found.push(format!("{}: {}", path.display(), row.name));
                    found.extend(source.notes());
                }
                return Ok(LoadedTexts { text: Texts::new(family, parts), digest: hasher.finish(), found });
            }
        }
    }
    Err(Error::Unsupported(problems.join("; ")))
}

type Opened<'a> = (&'a Path, Vec<Arc<WeightFile>>, Option<Json>);

/// Which file holds which encoder of a family.
fn place(family: &'static Family, opened: &[Opened<'_>]) -> Result<Vec<(&'static TextRow, usize)>, String> {
    let mut places = Vec::new();
    for row in family.texts {
        let is = |(path, files, _): &Opened<'_>| (row.mark)(&below(path, files, row.prefixes).shapes()).is_some();
        let free = |at: &usize| places.iter().all(|(_, taken)| taken != at);
        let at = (0..opened.len()).filter(free).find(|&at| is(&opened[at]));
        let Some(at) = at else {
            let seen: Vec<String> = opened
                .iter()
                .map(|(path, files, _)| format!("{} is {}", path.display(), known(&shapes(files))))
                .collect();
            return Err(format!(
                "{} takes the text encoder {}, found none: {}",
                family.name,
                row.name,
                seen.join(", ")
            ));
        };
        places.push((row, at));
    }
    if places.len() != opened.len() {
        return Err(format!("{} takes {} text encoders, found {} files", family.name, places.len(), opened.len()));
    }
    Ok(places)
}

impl Options {
    fn within(memory: &Memory) -> Options {
        Options { config_from: None, memory: memory.clone() }
    }

    /// The config of a part: its own, or that of the folder that is named for it, which the digest then covers.
    fn config(&self, part: &str, own: Option<Json>, digest: String) -> Result<(Option<Json>, String)> {
        let (None, Some(folder)) = (&own, &self.config_from) else { return Ok((own, digest)) };
        let path = folder.join(part).join("config.json");
        let mut hasher = Hasher::new();
        hasher.bytes(digest.as_bytes());
        hasher.file(&path)?;
        Ok((Some(Json::read(&path)?), hasher.finish()))
    }
}

/// What a file is, in words.
fn known(shapes: &Shapes) -> String {
    for family in FAMILIES {
        for row in family.texts {
            if let Some(reason) = (row.mark)(shapes) {
                return format!("{} ({reason})", row.name);
            }
        }
    }
    family::recognise(shapes)
        .map_or("of an unknown kind".into(), |(kind, reason)| format!("{} ({reason})", kind.name()))
}

/// Why a file is not what was asked for.
fn other(path: &Path, shapes: &Shapes, wanted: &str) -> Error {
    let what = match family::recognise(shapes) {
        Some((Kind::Family(family), reason)) => {
            format!("this is a network of {} ({reason}), not {wanted}; load it with UNETLoader", family.name)
        }
        Some((Kind::Other(mark), reason)) => format!("this is {}, not {wanted} ({reason}); {}", mark.name, mark.advice),
        None => format!("expected {wanted}, found {} keys of an unknown kind", shapes.len()),
    };
    Error::file(path, what)
}

/// The keys behind the first prefix that is there, or all.
pub(crate) fn below(path: &Path, files: &[Arc<WeightFile>], prefixes: &[&str]) -> Source {
    Source::below(path, files, prefixes).unwrap_or_else(|| Source::new(path, files.to_vec(), ""))
}

/// The files of a part with its config, if it is a diffusers folder's, and their digest.
pub(crate) fn open(path: &Path, stem: &str) -> Result<(Vec<Arc<WeightFile>>, Option<Json>, String)> {
    let mut digest = Hasher::new();
    let folder = path.is_dir();
    let files = if folder { files::weights(path, stem)? } else { vec![Arc::new(WeightFile::open(path)?)] };
    let config = path.join("config.json");
    let config = if folder && config.exists() {
        digest.file(&config)?;
        Some(Json::read(&config)?)
    } else {
        None
    };
    for file in &files {
        digest.bytes(file.bytes());
    }
    Ok((files, config, digest.finish()))
}

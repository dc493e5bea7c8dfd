//! A checkpoint in one file, with a prefix in front of the keys of each part.

use super::files::{Hasher, SCHEDULER, TOKENIZER};
use super::folder::schedule;
use super::{Loaded, Options, Source, latent, recognise, shapes};
use crate::config::Json;
use crate::error::{Error, Result};
use crate::family::{Family, Prediction};
use crate::text::Texts;
use crate::vae;
use crate::weights::WeightFile;
use std::path::Path;
use std::sync::Arc;

pub(super) fn load(path: &Path, options: &Options) -> Result<Loaded> {
    let file = Arc::new(WeightFile::open(path)?);
    let files = [file.clone()];
    let shapes = shapes(&files);
    let (family, reason) = recognise(path, &shapes)?;
    let mut found = vec![format!("{}: a checkpoint in one file", path.display()), format!("{}: {reason}", family.name)];
    let config = |name: &str| match &options.config_from {
        Some(folder) => Json::read(&folder.join(name).join("config.json")).map(Some),
        None => Ok(None),
    };
    let mut missing = Vec::new();
    let mut part = |what: &str, loader: &str, name: &str, prefixes: &'static [&'static str]| -> Result<Source> {
        let source = Source::below(path, &files, prefixes);
        if source.is_none() {
            missing.push(format!("{what} (no keys `{}…`): load it with {loader}", prefixes.join("…`, `")));
        }
        let mut source = source.unwrap_or_else(|| Source::new(path, vec![], ""));
        source.config = config(name)?;
        source.memory = options.memory.clone();
        Ok(source)
    };
    let network = part("the denoising network", "UNETLoader", family.network.folder, family.network.prefixes)?;
    let vae = part("the VAE", "VAELoader", "vae", vae::PREFIXES)?;
    let mut texts = Vec::new();
    let loader = if family.texts.len() > 1 { "DualCLIPLoader" } else { "CLIPLoader" };
    for row in family.texts {
        let what = format!("the text encoder {}", row.name);
        let mut source = part(&what, loader, row.folder, row.prefixes)?;
        source.tokenizer = options.config_from.as_ref().map(|folder| folder.join(row.tokenizer));
        texts.push((row, source));
    }
    if !missing.is_empty() {
        let what = format!(
            "this file of {} lacks parts of a checkpoint: {}; the parts that it has are loaded by such nodes too",
            family.name,
            missing.join("; ")
        );
        return Err(Error::file(path, what));
    }
    unused(&shapes, family, &mut found);
    let mut digest = Hasher::new();
    digest.bytes(file.bytes());
    if let Some(folder) = &options.config_from {
        for name in [family.network.folder, "vae"].into_iter().chain(family.texts.iter().map(|row| row.folder)) {
            digest.file(&folder.join(name).join("config.json"))?;
        }
        for row in family.texts {
            digest.settings(&folder.join(row.tokenizer), TOKENIZER)?;
        }
        digest.settings(folder, &[SCHEDULER])?;
    }
    let (prediction, noise) = match &options.config_from {
        Some(folder) => schedule(folder, family)?,
        None => (predicted(family, &network, &file), family.noise),
    };
    let parts = texts.iter().map(|(row, source)| (row.load)(source, row)).collect::<Result<Vec<_>>>()?;
    let vae_part = vae::load(&vae)?;
    let loaded = Loaded {
        family,
        network: (family.network.load)(&network)?,
        text: Texts::new(family, parts),
        latent: latent(family, &vae_part),
        vae: vae_part,
        prediction,
        noise,
        digest: digest.finish(),
        found: vec![],
    };
    for source in [network, vae].into_iter().chain(texts.into_iter().map(|(_, source)| source)) {
        found.extend(source.notes());
    }
    Ok(Loaded { found, ..loaded })
}

/// What a file's metadata, a marker key or its tensors say about its prediction.
pub(super) fn predicted(family: &Family, network: &Source, file: &WeightFile) -> Prediction {
    let stated = network.metadata("modelspec.prediction_type");
    if matches!(stated, Some("v" | "v_prediction")) || file.entries.contains_key("v_pred") {
        return Prediction::Velocity;
    }
    (family.predicts)(network).unwrap_or(family.prediction)
}

/// Tells of keys that no part of the model reads.
fn unused(shapes: &crate::family::Shapes, family: &Family, found: &mut Vec<String>) {
    let texts = family.texts.iter().flat_map(|row| row.prefixes);
    let known: Vec<&&str> = family.network.prefixes.iter().chain(vae::PREFIXES).chain(texts).collect();
    let others: Vec<&String> =
        shapes.keys().filter(|key| !known.iter().any(|prefix| key.starts_with(**prefix))).collect();
    let averaged = others.iter().filter(|key| key.starts_with("model_ema.")).count();
    if averaged > 0 {
        found.push(format!("{averaged} keys are averaged copies of weights (`model_ema.`) and are not used"));
    }
    if others.len() > averaged {
        let rest = others.len() - averaged;
        found.push(format!("{rest} keys of the file belong to no part of the model and are not used"));
    }
}

//! A model as diffusers saves it: a folder with a folder for each part.

use super::files::{self, Hasher, SCHEDULER, TOKENIZER};
use super::{Loaded, Options, Source, Sources, recognise, shapes};
use crate::config::Json;
use crate::error::{Error, Result};
use crate::family::{Betas, FAMILIES, Family, Noise, Prediction};
use std::path::{Path, PathBuf};

/// The folder of the denoising network, if this is a model's folder.
pub(super) fn network(path: &Path) -> Option<PathBuf> {
    // Families that cannot be loaded are told by their keys, so their folders are looked at too.
    let names = FAMILIES.iter().map(|family| family.network.folder).chain(["transformer"]);
    names.map(|name| path.join(name)).find(|folder| folder.is_dir())
}

pub(super) fn load(path: &Path, options: &Options) -> Result<Loaded> {
    let Some(network) = network(path) else {
        let what = match path.join("model_index.json").exists() {
            true => "expected a folder `unet` or `transformer` beside model_index.json",
            false => "expected a diffusers folder, with folders `unet`, `vae`, `text_encoder` and `tokenizer`",
        };
        return Err(Error::file(path, what));
    };
    let mut digest = Hasher::new();
    let mut found = vec![format!("{}: a diffusers folder", path.display())];
    let stem = "diffusion_pytorch_model";
    let (family, reason) = recognise(path, &shapes(&files::weights(&network, stem)?))?;
    found.push(format!("{}: {reason}", family.name));
    let mut part = |name: &str, stem: &str| -> Result<Source> {
        let folder = path.join(name);
        if !folder.is_dir() {
            let what = format!("expected a folder `{name}`, as models of {} have, found none", family.name);
            return Err(Error::file(path, what));
        }
        let config = folder.join("config.json");
        let json = Json::read(&config)?;
        digest.file(&config)?;
        let files = files::weights(&folder, stem)?;
        for file in &files {
            digest.bytes(file.bytes());
        }
        let mut source = Source::new(&folder, files, "");
        source.config = Some(json);
        source.memory = options.memory.clone();
        Ok(source)
    };
    let network = part(family.network.folder, stem)?;
    let vae = part("vae", stem)?;
    let mut texts = Vec::new();
    for row in family.texts {
        let mut source = part(row.folder, "model")?;
        source.tokenizer = Some(path.join(row.tokenizer));
        texts.push((row, source));
    }
    for row in family.texts {
        digest.settings(&path.join(row.tokenizer), TOKENIZER)?;
    }
    digest.settings(path, &[SCHEDULER])?;
    let said = schedule(path, family)?;
    Sources { network, vae, texts }.load(family, said, digest.finish(), found)
}

/// Prediction and noise of a diffusers folder.
pub(super) fn schedule(folder: &Path, family: &Family) -> Result<(Prediction, Noise)> {
    let path = folder.join(SCHEDULER);
    let (true, Noise::Betas(betas)) = (path.exists(), family.noise) else {
        // A flow's shift is a setting of the sampler; diffusers computes another for each size of picture.
        return Ok((family.prediction, family.noise));
    };
    let json = Json::read(&path)?;
    json.expect_values(&[("trained_betas", &["null"]), ("beta_schedule", &["\"scaled_linear\"", "\"linear\""])])?;
    let betas = Betas {
        start: json.optional("beta_start")?.unwrap_or(betas.start),
        end: json.optional("beta_end")?.unwrap_or(betas.end),
        steps: json.optional("num_train_timesteps")?.unwrap_or(betas.steps),
        scaled: json.optional::<String>("beta_schedule")?.is_none_or(|name| name == "scaled_linear"),
        zero_snr: json.optional("rescale_betas_zero_snr")?.unwrap_or(false),
    };
    Ok((json.optional("prediction_type")?.unwrap_or(family.prediction), Noise::Betas(betas)))
}

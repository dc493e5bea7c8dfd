//! Loading a whole model: a diffusers folder, or a checkpoint in one file.

use crate::clip::{TextConfig, TextEncoder, Tokenizer};
use crate::config::Json;
use crate::error::{Error, Result};
use crate::family::{self, Betas, Family, Prediction, Shapes};
use crate::ldm;
use crate::memory::Memory;
use crate::unet::{UNet, UNetConfig};
use crate::vae::{Vae, VaeConfig};
use crate::weights::{Entries, Part, Piece, WeightFile};
use candle_core::{DType, Device};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model with all its parts.
pub struct Loaded {
    /// What it is.
    pub family: &'static Family,
    /// The denoising network.
    pub unet: UNet,
    /// Tokenizer and text encoder.
    pub text: TextEncoder,
    /// The autoencoder.
    pub vae: Vae,
    /// What the network predicts.
    pub prediction: Prediction,
    /// The noise schedule of its training.
    pub betas: Betas,
    /// SHA-256 over the files the model was read from, in hexadecimal.
    pub digest: String,
    /// What was recognised, and why, for people.
    pub found: Vec<String>,
}

/// What a checkpoint in one file does not say itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A diffusers folder whose `config.json` files and tokenizer belong to the checkpoint. Without one, shapes are
    /// inferred from the tensors, and what does not show in them is as in SD 1.x.
    pub config_from: Option<PathBuf>,
    /// The budget of the working copies of weights, which networks loaded with the same one share.
    pub memory: Memory,
}

/// Loads a model from a diffusers folder or a single `.safetensors` file. Weights of 16 bits are widened to f32.
pub fn load(path: &Path, device: &Device, dtype: DType) -> Result<Loaded> {
    load_with(path, device, dtype, &Options::default())
}

/// The same with what the file itself does not say.
pub fn load_with(path: &Path, device: &Device, dtype: DType, options: &Options) -> Result<Loaded> {
    if !device.is_cpu() || dtype != DType::F32 {
        return Err(Error::Unsupported(format!(
            "networks run in f32 on the cpu, not in {} on {device:?}",
            dtype.as_str()
        )));
    }
    let meta = std::fs::metadata(path).map_err(Error::io(path))?;
    if meta.is_dir() { folder(path, options) } else { single(path, options) }
}

/// What a file or folder is, seen from its names and headers without reading weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// For people: `SD 1.x`, `a LoRA`, `SDXL` …
    pub name: &'static str,
    /// The family, if it is a checkpoint that can be loaded.
    pub family: Option<&'static str>,
    /// Why it is taken for that.
    pub reason: String,
}

/// Tells what a safetensors file or diffusers folder is. Files of an unknown kind are `None`; unreadable ones an error.
pub fn look_at(path: &Path) -> Result<Option<Seen>> {
    let folder = ["unet", "transformer"].map(|name| path.join(name)).into_iter().find(|folder| folder.is_dir());
    let files = match folder {
        Some(folder) => weight_files(&folder, "diffusion_pytorch_model")?,
        None => vec![Arc::new(WeightFile::open(path)?)],
    };
    Ok(family::recognise(&shapes(&files)).map(|(mark, reason)| Seen {
        name: mark.name,
        family: mark.family.map(|family| family.name),
        reason,
    }))
}

fn folder(path: &Path, options: &Options) -> Result<Loaded> {
    if !path.join("unet").is_dir() {
        let what = match (path.join("transformer").is_dir(), path.join("model_index.json").exists()) {
            (true, _) => "this model has a transformer instead of a UNet (Flux.1 or SD 3); only SD 1.x can be loaded",
            (_, true) => "expected a folder `unet` beside model_index.json",
            _ => "expected a diffusers folder, with folders `unet`, `vae`, `text_encoder` and `tokenizer`",
        };
        return Err(Error::file(path, what));
    }
    if path.join("text_encoder_2").is_dir() {
        return Err(Error::file(path, "this model has two text encoders (SDXL); only SD 1.x can be loaded"));
    }
    let mut digest = Hasher::new();
    let mut found = vec![format!("{}: a diffusers folder", path.display())];
    let mut open = |name: &str, stem: &str| -> Result<(Json, PathBuf, Vec<Arc<WeightFile>>)> {
        let folder = path.join(name);
        let config = folder.join("config.json");
        let json = Json::read(&config)?;
        digest.file(&config)?;
        let files = weight_files(&folder, stem)?;
        for file in &files {
            digest.bytes(file.bytes());
        }
        Ok((json, folder, files))
    };
    let unet = open("unet", "diffusion_pytorch_model")?;
    let vae = open("vae", "diffusion_pytorch_model")?;
    let text = open("text_encoder", "model")?;
    let (family, reason) = recognise(path, &shapes(&unet.2))?;
    found.push(format!("{}: {reason}", family.name));
    let (prediction, betas) = schedule(path, family)?;
    let tokenizer = Tokenizer::from_folder(&path.join("tokenizer"))?;
    digest.settings(path)?;
    let unet = build(&unet.1, options, entries(&unet.2, |key| Some(key.to_owned())), |part| {
        UNet::build(UNetConfig::from_json(&unet.0)?, part)
    })?;
    let vae = build(&vae.1, options, entries(&vae.2, |key| Some(modern_vae_name(key))), |part| {
        Vae::build(VaeConfig::from_json(&vae.0)?, part)
    })?;
    let config = TextConfig::from_json(&text.0)?;
    let text = build(&text.1, options, entries(&text.2, text_name), |part| text_encoder(config, part, tokenizer))?;
    finish(path, Loaded { family, unet, text, vae, prediction, betas, digest: digest.finish(), found })
}

fn single(path: &Path, options: &Options) -> Result<Loaded> {
    let file = Arc::new(WeightFile::open(path)?);
    let files = [file.clone()];
    let shapes = shapes(&files);
    let (family, reason) = recognise(path, &shapes)?;
    let mut found = vec![format!("{}: a checkpoint in one file", path.display()), format!("{}: {reason}", family.name)];
    let part = |prefix: &str, name: &dyn Fn(&str) -> Option<String>| {
        // A key without a translation keeps its own name, so that it is told as surplus.
        entries(&files, |key| key.strip_prefix(prefix).map(|key| name(key).unwrap_or_else(|| key.to_owned())))
    };
    let layers = ldm::unet_layers(&shapes);
    let unet_entries = part(ldm::UNET, &|key| ldm::unet_name(key, layers));
    let levels = ldm::vae_levels(&shapes);
    let vae_entries = entries(&files, |key| {
        let key = key.strip_prefix(ldm::VAE)?;
        // The discriminator and the averaged copy of the VAE's own training.
        let rest = ["loss.", "model_ema."].iter().any(|prefix| key.starts_with(prefix));
        (!rest).then(|| ldm::vae_name(key, levels).unwrap_or_else(|| key.to_owned()))
    });
    let text_entries = entries(&files, |key| text_name(key.strip_prefix(ldm::TEXT)?));
    let from_config = |name: &str| match &options.config_from {
        Some(folder) => Json::read(&folder.join(name).join("config.json")).map(Some),
        None => Ok(None),
    };
    let wrong = |what: String| Error::file(path, what);
    let unet_config = match from_config("unet")? {
        Some(json) => UNetConfig::from_json(&json)?,
        None => ldm::unet_config(&shapes).map_err(wrong)?,
    };
    let vae_config = match from_config("vae")? {
        Some(json) => VaeConfig::from_json(&json)?,
        None => ldm::vae_config(&shapes).map_err(wrong)?,
    };
    let text_prefix = [format!("{}text_model.", ldm::TEXT), ldm::TEXT.to_owned()]
        .into_iter()
        .find(|prefix| shapes.contains_key(&format!("{prefix}embeddings.token_embedding.weight")))
        .unwrap_or_default();
    let text_config = match from_config("text_encoder")? {
        Some(json) => TextConfig::from_json(&json)?,
        None => ldm::text_config(&shapes, &text_prefix).map_err(wrong)?,
    };
    let (tokenizer, (prediction, betas)) = match &options.config_from {
        Some(folder) => (Tokenizer::from_folder(&folder.join("tokenizer"))?, schedule(folder, family)?),
        None => {
            found.push(format!(
                "its shape is inferred; {} heads and {} norm groups are assumed",
                unet_config.heads[0], unet_config.norm_num_groups
            ));
            found.push("the tokenizer is that of OpenAI's CLIP".into());
            (Tokenizer::clip()?, (predicted(&file, &shapes, family), family.betas))
        }
    };
    let known = [ldm::UNET, ldm::VAE, ldm::TEXT];
    let others = shapes.keys().filter(|key| !known.iter().any(|prefix| key.starts_with(prefix))).count();
    if others > 0 {
        found.push(format!("{others} keys of the file belong to no part of the model and are not used"));
    }
    let mut digest = Hasher::new();
    digest.bytes(file.bytes());
    if let Some(folder) = &options.config_from {
        for part in ["unet", "vae", "text_encoder"] {
            digest.file(&folder.join(part).join("config.json"))?;
        }
        digest.settings(folder)?;
    }
    let unet = build(path, options, unet_entries, |part| UNet::build(unet_config, part))?;
    let vae = build(path, options, vae_entries, |part| Vae::build(vae_config, part))?;
    let text = build(path, options, text_entries, |part| text_encoder(text_config, part, tokenizer))?;
    finish(path, Loaded { family, unet, text, vae, prediction, betas, digest: digest.finish(), found })
}

/// Checks that the parts fit together.
fn finish(path: &Path, loaded: Loaded) -> Result<Loaded> {
    let (text, unet) = (loaded.text.config().hidden_size, loaded.unet.config().cross_attention_dim);
    if text != unet {
        let what =
            format!("the text encoder gives states of {text} features, the UNet takes {unet}: parts of two models");
        return Err(Error::file(path, what));
    }
    let (vae, unet) = (loaded.vae.config().latent_channels, loaded.unet.config().out_channels);
    if vae != unet {
        return Err(Error::file(
            path,
            format!("the VAE has {vae} latent channels, the UNet {unet}: parts of two models"),
        ));
    }
    Ok(loaded)
}

fn text_encoder(config: TextConfig, part: &mut Part, mut tokenizer: Tokenizer) -> Result<TextEncoder> {
    if tokenizer.vocabulary() > config.vocab_size {
        return Err(Error::Tokens(format!(
            "the tokenizer has {} tokens, the text encoder {}: they belong to different models",
            tokenizer.vocabulary(),
            config.vocab_size
        )));
    }
    tokenizer.set_length(config.max_position_embeddings);
    TextEncoder::build(config, part, tokenizer)
}

/// The safetensors files of one part: `stem.safetensors`, its fp16 form, or shards with an index.
fn weight_files(folder: &Path, stem: &str) -> Result<Vec<Arc<WeightFile>>> {
    for name in [format!("{stem}.safetensors"), format!("{stem}.fp16.safetensors")] {
        let path = folder.join(name);
        if path.exists() {
            return Ok(vec![Arc::new(WeightFile::open(&path)?)]);
        }
    }
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    if index.exists() {
        let map: BTreeMap<String, String> = Json::read(&index)?.required("weight_map")?;
        let mut names: Vec<String> = map.into_values().collect();
        names.sort();
        names.dedup();
        return names
            .iter()
            .map(|name| {
                if Path::new(name).components().count() != 1 {
                    return Err(Error::file(&index, format!("`{name}` is no file name of this folder")));
                }
                WeightFile::open(&folder.join(name)).map(Arc::new)
            })
            .collect();
    }
    for name in ["diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt"] {
        if folder.join(name).exists() {
            WeightFile::open(&folder.join(name))?;
        }
    }
    Err(Error::file(folder, format!("expected {stem}.safetensors, found no such file")))
}

/// What a file's keys say it is, if that can be loaded.
fn recognise(path: &Path, shapes: &Shapes) -> Result<(&'static Family, String)> {
    match family::recognise(shapes) {
        Some((mark, reason)) => match mark.family {
            Some(family) => Ok((family, reason)),
            None if mark.name == "a LoRA" => Err(Error::file(
                path,
                format!("this is a LoRA, not a checkpoint ({reason}); load a checkpoint, then the LoRA onto it"),
            )),
            None => {
                Err(Error::file(path, format!("this is {}, because {reason}; only SD 1.x can be loaded", mark.name)))
            }
        },
        None => Err(Error::file(
            path,
            format!("no family is recognised by its {} keys; expected an SD 1.x checkpoint with a UNet", shapes.len()),
        )),
    }
}

/// The keys of files under the names that a network uses; `None` leaves a key out.
fn entries(files: &[Arc<WeightFile>], name: impl Fn(&str) -> Option<String>) -> Entries {
    files
        .iter()
        .flat_map(|file| {
            file.entries.keys().filter_map(|key| Some((name(key)?, vec![Piece::whole(file, key)]))).collect::<Vec<_>>()
        })
        .collect()
}

fn shapes(files: &[Arc<WeightFile>]) -> Shapes {
    files.iter().flat_map(|file| file.entries.iter().map(|(key, e)| (key.clone(), e.shape.clone()))).collect()
}

fn build<T>(path: &Path, options: &Options, entries: Entries, f: impl FnOnce(&mut Part) -> Result<T>) -> Result<T> {
    let mut part = Part::new(path.display().to_string(), entries).within(&options.memory, &Device::Cpu);
    let built = f(&mut part)?;
    part.finish("the config and the weights belong to different models, or the file is not whole")?;
    Ok(built)
}

/// Older diffusers had other names for the VAE's attention.
fn modern_vae_name(key: &str) -> String {
    let mut name = key.to_owned();
    if key.contains(".mid_block.attentions.0.") {
        for (old, new) in
            [(".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")]
        {
            name = name.replace(old, new);
        }
    }
    name
}

/// A text encoder's key without `text_model.`, which newer transformers leave out; `None` for what is no weight.
fn text_name(key: &str) -> Option<String> {
    let key = key.strip_prefix("text_model.").unwrap_or(key);
    let extra = ["embeddings.position_ids", "text_projection.weight", "logit_scale"];
    (!extra.contains(&key) && !key.starts_with("vision_model.")).then(|| key.to_owned())
}

/// Prediction and noise schedule of a diffusers folder.
fn schedule(folder: &Path, family: &Family) -> Result<(Prediction, Betas)> {
    let path = folder.join("scheduler").join("scheduler_config.json");
    if !path.exists() {
        return Ok((family.prediction, family.betas));
    }
    let json = Json::read(&path)?;
    json.expect_values(&[
        ("trained_betas", &["null"]),
        ("beta_schedule", &["\"scaled_linear\"", "\"linear\""]),
        ("rescale_betas_zero_snr", &["null", "false"]),
    ])?;
    let betas = Betas {
        start: json.optional("beta_start")?.unwrap_or(family.betas.start),
        end: json.optional("beta_end")?.unwrap_or(family.betas.end),
        steps: json.optional("num_train_timesteps")?.unwrap_or(family.betas.steps),
        scaled: json.optional::<String>("beta_schedule")?.is_none_or(|name| name == "scaled_linear"),
    };
    Ok((json.optional("prediction_type")?.unwrap_or(family.prediction), betas))
}

/// What a file's metadata or a marker key says about its prediction.
fn predicted(file: &WeightFile, shapes: &Shapes, family: &Family) -> Prediction {
    let stated = file.metadata.get("modelspec.prediction_type").map(String::as_str);
    if matches!(stated, Some("v" | "v_prediction")) || shapes.contains_key("v_pred") {
        return Prediction::Velocity;
    }
    family.prediction
}

/// A digest over several files, in order.
struct Hasher(Sha256);

impl Hasher {
    fn new() -> Hasher {
        Hasher(Sha256::new())
    }

    /// Adds bytes with their length in front, so that no two lists of files look the same.
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        self.bytes(&std::fs::read(path).map_err(Error::io(path))?);
        Ok(())
    }

    /// The small files of a folder beside its networks.
    fn settings(&mut self, folder: &Path) -> Result<()> {
        for name in [
            "tokenizer/tokenizer.json",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "tokenizer/tokenizer_config.json",
            "scheduler/scheduler_config.json",
        ] {
            if folder.join(name).exists() {
                self.file(&folder.join(name))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_inferred_from_a_single_file_are_those_of_its_config() {
        let reference = match std::env::var_os("ANAGAMA_REFERENCE") {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference"),
        };
        let file = Arc::new(WeightFile::open(&reference.join("models/sd15_single.safetensors")).unwrap());
        let shapes = shapes(&[file]);
        let json = |part: &str| Json::read(&reference.join("models/sd15").join(part).join("config.json")).unwrap();
        // Heads, groups and the side trained on do not show in shapes.
        let want = UNetConfig::from_json(&json("unet")).unwrap();
        let mut got = ldm::unet_config(&shapes).unwrap();
        (got.heads, got.norm_num_groups) = (want.heads.clone(), want.norm_num_groups);
        got.sample_size = want.sample_size;
        assert_eq!(got, want);
        let want = VaeConfig::from_json(&json("vae")).unwrap();
        let mut got = ldm::vae_config(&shapes).unwrap();
        got.norm_num_groups = want.norm_num_groups;
        assert_eq!(got, want);
        let want = TextConfig::from_json(&json("text_encoder")).unwrap();
        let mut got = ldm::text_config(&shapes, &format!("{}text_model.", ldm::TEXT)).unwrap();
        (got.num_attention_heads, got.eos_token_id) = (want.num_attention_heads, want.eos_token_id);
        assert_eq!(got, want);
    }

    #[test]
    fn names_of_older_and_newer_libraries_are_understood() {
        let old = "encoder.mid_block.attentions.0.proj_attn.weight";
        assert_eq!(modern_vae_name(old), "encoder.mid_block.attentions.0.to_out.0.weight");
        assert_eq!(text_name("text_model.final_layer_norm.bias"), text_name("final_layer_norm.bias"));
        assert_eq!(text_name("text_model.embeddings.position_ids"), None);
    }
}

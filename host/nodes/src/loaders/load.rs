//! Reading models and networks, for the nodes of this folder and those that apply LoRAs by themselves.

use crate::Host;
use crate::types::{Clip, Model, VaeModel};
use anyhow::Context as _;
use candle_core::DType;
use engine::{Context, Level};
use models::lora::{self, File};
use models::{Memory, Options};
use spec::{Value, Values};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The three parts of a base, as loaders give them.
pub(crate) type Parts = (Arc<Model>, Arc<Clip>, Arc<VaeModel>);

/// Loads a base by its kind (`checkpoints`, `diffusers`) and name.
pub(crate) fn base(ctx: &Context, kind: &str, name: &str) -> anyhow::Result<Parts> {
    let host = ctx.services::<Host>();
    let path = host.models.resolve(kind, name)?;
    // Graphs of one process that name the same files share what was read from them.
    let key = format!("{kind} {name} {}", digest(host, &path)?);
    let part = |part: &str| format!("{key} {part}");
    let known = (host.shared.find(&part("model")), host.shared.find(&part("clip")), host.shared.find(&part("vae")));
    if let (Some(model), Some(clip), Some(vae)) = known {
        return Ok((model, clip, vae));
    }
    let options = Options { memory: host.shared.memory.clone(), ..Options::default() };
    let loaded = models::load_with(&path, host.shared.memory.device(), DType::F32, &options)?;
    say(ctx, &loaded.found);
    let model = Model {
        network: loaded.network,
        family: loaded.family,
        name: name.to_owned(),
        digest: loaded.digest,
        prediction: loaded.prediction,
        noise: loaded.noise,
        latent: loaded.latent,
        base_text: Some(loaded.text.clone()),
        sampling: None,
        predicts: None,
        differential: None,
    };
    let clip = Clip { text: loaded.text, skip: None };
    let parts = (Arc::new(model), Arc::new(clip), Arc::new(VaeModel { vae: loaded.vae }));
    host.shared.keep(&part("model"), &parts.0);
    host.shared.keep(&part("clip"), &parts.1);
    host.shared.keep(&part("vae"), &parts.2);
    Ok(parts)
}

/// Loads a part of a model by its kind (`diffusion_models`, `vae` …) and names, unless a graph of this process still
/// has it.
pub(super) fn part<T: Send + Sync + 'static>(
    ctx: &Context,
    kind: &str,
    names: &[&str],
    how: &str,
    load: impl FnOnce(&[PathBuf], &Memory) -> anyhow::Result<(T, Vec<String>)>,
) -> anyhow::Result<Arc<T>> {
    let host = ctx.services::<Host>();
    let (mut key, mut paths) = (format!("{kind} {how}"), Vec::new());
    for name in names {
        let path = host.models.resolve(kind, name)?;
        key.push_str(&format!(" {name} {}", digest(host, &path)?));
        paths.push(path);
    }
    if let Some(known) = host.shared.find(&key) {
        return Ok(known);
    }
    let (loaded, found) = load(&paths, &host.shared.memory)?;
    say(ctx, &found);
    let loaded = Arc::new(loaded);
    host.shared.keep(&key, &loaded);
    Ok(loaded)
}

fn say(ctx: &Context, found: &[String]) {
    for line in found {
        ctx.log(Level::Debug, line);
    }
}

/// Identity of the model that a constant names: a file's digest, or those of all files in a folder.
/// Empty for a linked name, whose node has an identity of its own.
pub(crate) fn fingerprint(ctx: &Context, constants: &Values, input: &str, kind: &str) -> anyhow::Result<String> {
    let Some(Value::Data(serde_json::Value::String(name))) = constants.get(input) else { return Ok(String::new()) };
    let host = ctx.services::<Host>();
    digest(host, &host.models.resolve(kind, name)?)
}

/// The digest of a file, or those of all files in a folder.
fn digest(host: &Host, path: &Path) -> anyhow::Result<String> {
    if path.is_file() {
        return Ok(host.file_digest(path)?.to_string());
    }
    let mut digests = Vec::new();
    for file in files_below(path)? {
        let relative = file.strip_prefix(path).unwrap_or(&file).display().to_string();
        digests.push(format!("{relative} {}", host.file_digest(&file)?));
    }
    Ok(digests.join("\n"))
}

/// All files of a folder and its folders, sorted.
fn files_below(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// Where the LoRA of this name lies.
pub(crate) fn lora_path(ctx: &Context, name: &str) -> anyhow::Result<PathBuf> {
    ctx.services::<Host>().models.resolve("loras", name)
}

/// Reads the LoRA of this name from the host's folders.
pub(crate) fn lora_file(ctx: &Context, name: &str) -> anyhow::Result<File> {
    Ok(File::read(&lora_path(ctx, name)?)?)
}

/// Puts a LoRA on a model and its text encoder, into their weights, so that sampling is as fast as without.
pub(crate) fn apply_lora(
    ctx: &Context,
    file: &File,
    model: &Model,
    clip: &Clip,
    (strength_model, strength_clip): (f64, f64),
    options: &lora::Options,
) -> anyhow::Result<(Model, Clip)> {
    let applied = file.apply(&model.network, &clip.text, strength_model, strength_clip, options)?;
    for warning in &applied.warnings {
        ctx.log(Level::Warn, warning);
    }
    Ok((Model { network: applied.network, ..model.clone() }, Clip { text: applied.texts, ..clip.clone() }))
}

/// Puts a LoRA on a model alone.
pub(super) fn apply_lora_to_model(
    ctx: &Context,
    file: &File,
    model: &Model,
    strength: f64,
    options: &lora::Options,
) -> anyhow::Result<Model> {
    let texts = model.base_text.as_ref();
    let (network, warnings) = file.apply_to_network(&model.network, texts, strength, options)?;
    for warning in &warnings {
        ctx.log(Level::Warn, warning);
    }
    Ok(Model { network, ..model.clone() })
}

/// Names for the input `type` of loaders of text encoders.
pub(super) fn text_types() -> Vec<&'static str> {
    let mut types: Vec<&str> = models::FAMILIES.iter().map(|f| f.text_type).collect();
    types.dedup();
    types
}

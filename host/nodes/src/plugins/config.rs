//! From a node's inputs to the settings that a plugin is opened with, and to what they depend on.

use crate::Host;
use anyhow::{Context as _, bail};
use data::Digest;
use engine::Context;
use serde_json::{Map, Value as Json};
use spec::{Input, Value, Values, Widget};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A plugin's settings, with names and paths resolved by the host.
pub(super) struct Settings {
    /// What `open` gets. A folder is given by the name of its grant, a model by its full name.
    pub(super) config: Json,
    /// Folders that the user wrote into the graph, by the name of the input: the grants of this run.
    pub(super) folders: BTreeMap<String, PathBuf>,
    /// Folders or files of the models that are named, by their full names.
    models: BTreeMap<String, PathBuf>,
    pub(super) seed: u64,
}

impl Settings {
    /// Takes the declared inputs that have widgets; what is absent is left to the plugin's defaults.
    pub(super) fn new(ctx: &Context, declared: &[Input], values: &Values) -> anyhow::Result<Self> {
        let host = ctx.services::<Host>();
        let mut config = Map::new();
        let mut folders = BTreeMap::new();
        let mut models = BTreeMap::new();
        for input in declared.iter().filter(|i| i.widget != Widget::None) {
            let given = match values.get(&input.name) {
                Some(Value::Data(Json::Null)) | None => None,
                Some(value) => Some(plain(value).with_context(|| format!("input `{}`", input.name))?),
            };
            match &input.widget {
                Widget::HostList(list) if list == "folder" => {
                    let Some(path) = given.as_ref().and_then(Json::as_str).filter(|p| !p.is_empty()) else {
                        if input.required {
                            bail!("input `{}`: expected a folder, found nothing", input.name);
                        }
                        continue;
                    };
                    let folder = host.input_path(path);
                    if !folder.is_dir() {
                        bail!("input `{}`: expected a folder, found nothing at {}", input.name, folder.display());
                    }
                    folders.insert(input.name.clone(), folder);
                    config.insert(input.name.clone(), input.name.clone().into());
                }
                Widget::HostList(list) if list.starts_with("models/") => {
                    let kind = list.trim_start_matches("models/");
                    let given = given.as_ref().and_then(Json::as_str).filter(|n| !n.is_empty() && *n != "auto");
                    let (name, path) = model(host, kind, given).with_context(|| format!("input `{}`", input.name))?;
                    config.insert(input.name.clone(), name.clone().into());
                    models.insert(name, path);
                }
                _ => {
                    config.extend(given.map(|value| (input.name.clone(), value)));
                }
            }
        }
        let seed = config.get("seed").and_then(Json::as_u64).unwrap_or(0);
        Ok(Self { config: Json::Object(config), folders, models, seed })
    }

    /// Identity of the models: what a result depends on besides the plugin, its settings and the item.
    pub(super) fn models_digest(&self, ctx: &Context) -> anyhow::Result<String> {
        let host = ctx.services::<Host>();
        let mut all = String::new();
        for (name, path) in &self.models {
            all.push_str(&format!("{name} {}\n", tree_digest(host, path)?));
        }
        Ok(Digest::of(all.as_bytes()).to_string())
    }

    /// Identity of all files behind the settings: models and folders.
    pub(super) fn files_digest(&self, ctx: &Context) -> anyhow::Result<String> {
        let host = ctx.services::<Host>();
        let mut all = self.models_digest(ctx)?;
        for (name, path) in &self.folders {
            all.push_str(&format!("\n{name} {} {}", path.display(), tree_digest(host, path)?));
        }
        Ok(Digest::of(all.as_bytes()).to_string())
    }
}

fn plain(value: &Value) -> anyhow::Result<Json> {
    match value {
        Value::Data(json) => Ok(json.clone()),
        Value::List(items) => items.iter().map(plain).collect::<anyhow::Result<_>>().map(Json::Array),
        Value::Object(_) => bail!("expected a plain value, found {}", value.describe()),
    }
}

/// The model's full name, `taggers/x`, and where it lies. Names may be given with or without their kind.
fn model(host: &Host, kind: &str, given: Option<&str>) -> anyhow::Result<(String, PathBuf)> {
    let prefix = format!("{kind}/");
    let name = match given {
        Some(name) => name.to_owned(),
        None => host.models.list(kind).into_iter().next().with_context(|| {
            let looked: Vec<String> = host.models.roots().iter().map(|r| r.join(kind).display().to_string()).collect();
            format!("expected a model of kind {kind}, found none in {}", looked.join(", "))
        })?,
    };
    let path = host.models.resolve(kind, &name)?;
    Ok((format!("{prefix}{}", name.strip_prefix(&prefix).unwrap_or(&name)), path))
}

/// Digest of a file, or of the names and contents of all files below a folder.
fn tree_digest(host: &Host, path: &Path) -> anyhow::Result<String> {
    if path.is_file() {
        return Ok(host.file_digest(path)?.to_string());
    }
    let mut lines = String::new();
    for entry in walk(path)? {
        let name = entry.strip_prefix(path).unwrap_or(&entry).display().to_string();
        lines.push_str(&format!("{name}\0{}\n", host.file_digest(&entry)?));
    }
    Ok(Digest::of(lines.as_bytes()).to_string())
}

/// All files below a folder, sorted; hidden ones are left out.
fn walk(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let kind = entry.file_type().with_context(|| format!("cannot look at {}", entry.path().display()))?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            // Links to folders are not followed: they may lead in circles.
            if kind.is_dir() {
                folders.push(entry.path());
            } else if entry.path().is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

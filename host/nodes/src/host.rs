//! What the host lends to its nodes.

use anyhow::{Context as _, bail};
use candle_core::Device;
use data::{Digest, Store};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Devices, folders and services; nodes get it with `ctx.services::<Host>()`.
pub struct Host {
    pub device: Device,
    pub models: ModelDirs,
    /// Where output nodes write.
    pub out_dir: PathBuf,
    /// Where relative paths in a workflow begin: the workflow's folder.
    pub input_dir: PathBuf,
    pub store: Arc<Store>,
    pub loader: Arc<loader::Loader>,
    /// The workflow that runs, for the metadata of saved pictures and the report.
    pub workflow: serde_json::Value,
}

/// Smaller files are hashed every time, in bytes.
const SMALL: u64 = 16 << 20;

impl Host {
    /// A host that computes on the CPU.
    pub fn new(
        models: ModelDirs,
        out_dir: PathBuf,
        input_dir: PathBuf,
        store: Arc<Store>,
        loader: Arc<loader::Loader>,
        workflow: serde_json::Value,
    ) -> Self {
        Self { device: Device::Cpu, models, out_dir, input_dir, store, loader, workflow }
    }

    /// A path of the workflow as an absolute one.
    pub fn input_path(&self, path: &str) -> PathBuf {
        let path = self.input_dir.join(path);
        path.canonicalize().unwrap_or(path)
    }

    /// SHA-256 of a file's contents. Large files are hashed once, as long as size and time of change stay.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file_digest(&self, path: &Path) -> anyhow::Result<Digest> {
        let wrong = || format!("cannot read {}", path.display());
        let facts = path.metadata().with_context(wrong)?;
        if facts.len() < SMALL {
            return Digest::of_file(path).with_context(wrong);
        }
        let changed = facts.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        let key = format!("{} {} {changed:?}", path.display(), facts.len());
        let known = self.store.get_record("digests", &key).ok().flatten();
        if let Some(Ok(digest)) = known.and_then(|k| String::from_utf8(k).ok()).map(Digest::try_from) {
            return Ok(digest);
        }
        let digest = Digest::of_file(path).with_context(wrong)?;
        self.store.put_record("digests", &key, digest.as_str().as_bytes())?;
        Ok(digest)
    }

    /// A path below the output folder.
    ///
    /// # Errors
    /// The name leads out of the folder.
    pub fn out_path(&self, name: &str) -> anyhow::Result<PathBuf> {
        let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if !plain || name.is_empty() {
            bail!("expected a name below the output folder, found `{name}`");
        }
        Ok(self.out_dir.join(name))
    }
}

/// The folders that models are looked for in. Each has one folder per kind: `checkpoints`, `diffusers`, `loras`,
/// `taggers` … Earlier folders hide models of the same name in later ones.
#[derive(Clone, Debug, Default)]
pub struct ModelDirs(pub Vec<PathBuf>);

/// Kinds that ComfyUI has too: its workflows give their names without the kind.
const BARE: [&str; 4] = ["checkpoints", "diffusers", "loras", "vae"];

impl ModelDirs {
    /// Names of the models of a kind, sorted: files of weights, or folders that hold a model, with `/` between folders.
    /// The kind may be written `models/loras` or `loras`. Kinds that ComfyUI does not have keep the kind in the name,
    /// `taggers/x`, as plugins ask for them.
    pub fn list(&self, kind: &str) -> Vec<String> {
        let kind = kind.strip_prefix("models/").unwrap_or(kind);
        let prefix = if BARE.contains(&kind) { String::new() } else { format!("{kind}/") };
        let mut names = Vec::new();
        for root in &self.0 {
            find_models(&root.join(kind), &prefix, 0, &mut names);
        }
        names.sort();
        names.dedup();
        names
    }

    /// Where the model of this kind and name lies.
    ///
    /// # Errors
    /// There is none; the message lists those there are.
    pub fn resolve(&self, kind: &str, name: &str) -> anyhow::Result<PathBuf> {
        let kind = kind.strip_prefix("models/").unwrap_or(kind);
        let bare = name.strip_prefix(kind).and_then(|n| n.strip_prefix('/')).unwrap_or(name);
        let known = self.list(kind);
        if known.iter().any(|k| k == bare || k.strip_prefix(kind).and_then(|k| k.strip_prefix('/')) == Some(bare)) {
            let found = self.0.iter().map(|root| root.join(kind).join(bare)).find(|p| p.exists());
            return found.with_context(|| format!("{kind}/{bare} has just vanished"));
        }
        let looked: Vec<String> = self.0.iter().map(|r| r.join(kind).display().to_string()).collect();
        let there = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        bail!("no model `{name}` of kind {kind}: looked in {}, found {there}", looked.join(", "))
    }
}

/// What makes a folder one model.
const FOLDER_MARKS: [&str; 3] = ["model_index.json", "model.onnx", "config.json"];
/// Deeper folders are not looked at.
const MAX_DEPTH: usize = 4;

fn find_models(dir: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
    // A folder that is not there holds no models.
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if path.is_dir() {
            if FOLDER_MARKS.iter().any(|mark| path.join(mark).is_file()) {
                names.push(name);
            } else if depth < MAX_DEPTH {
                find_models(&path, &format!("{name}/"), depth + 1, names);
            }
        } else if path.extension().is_some_and(|e| e == "safetensors" || e == "ckpt" || e == "onnx") {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_files_and_folders() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "loras/a.safetensors",
            "loras/people/b.safetensors",
            "loras/read.me",
            "diffusers/x/model_index.json",
            "taggers/t/model.onnx",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let models = ModelDirs(vec![dir.path().into(), "/nowhere".into()]);
        assert_eq!(models.list("models/loras"), ["a.safetensors", "people/b.safetensors"]);
        assert_eq!(models.list("diffusers"), ["x"]);
        assert_eq!(models.list("taggers"), ["taggers/t"]);
        assert_eq!(models.resolve("taggers", "taggers/t").unwrap(), models.resolve("models/taggers", "t").unwrap());
        assert!(models.resolve("loras", "people/b.safetensors").unwrap().is_file());
        let e = models.resolve("loras", "../diffusers/x").unwrap_err().to_string();
        assert!(e.ends_with("found a.safetensors, people/b.safetensors"), "{e}");
    }
}

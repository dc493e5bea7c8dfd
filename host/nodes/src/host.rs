//! What the host lends to its nodes.

use crate::{PreviewMethod, Shared};
use anyhow::{Context as _, bail};
use candle_core::Device;
use data::{Digest, Store};
use models::prompt::Embeddings;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Devices, folders and services; nodes get it with `ctx.services::<Host>()`.
pub struct Host {
    pub device: Device,
    pub models: ModelDirs,
    /// What this host shares with those of other graphs.
    pub shared: Shared,
    /// Where output nodes write.
    pub out_dir: PathBuf,
    /// Where relative paths in a workflow begin: the workflow's folder.
    pub input_dir: PathBuf,
    pub store: Arc<Store>,
    pub loader: Arc<loader::Loader>,
    /// The workflow that runs, for the metadata of saved pictures and the report.
    pub workflow: serde_json::Value,
    /// What else saved pictures carry, by name: a front end's own form of the workflow.
    pub extra_pnginfo: serde_json::Map<String, serde_json::Value>,
    /// Where pictures lie that are shown but not saved; none: they are only shown.
    pub temp_dir: Option<PathBuf>,
    /// How samplers show the work so far.
    pub previews: PreviewMethod,
    /// The user's clock, for the names of files.
    pub now: fn() -> engine::Moment,
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
        Self {
            device: Device::Cpu,
            models,
            shared: Shared::default(),
            out_dir,
            input_dir,
            store,
            loader,
            workflow,
            extra_pnginfo: serde_json::Map::new(),
            temp_dir: None,
            previews: PreviewMethod::default(),
            now: engine::Moment::utc_now,
        }
    }

    /// The same host, sharing loaded models and their memory with others.
    #[must_use]
    pub fn sharing(self, shared: Shared) -> Self {
        Self { shared, ..self }
    }

    /// The same host for a server's job: previews go to a folder, and saved pictures carry more.
    #[must_use]
    pub fn serving(self, temp_dir: PathBuf, extra_pnginfo: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { temp_dir: Some(temp_dir), extra_pnginfo, ..self }
    }

    /// The same host with the user's clock instead of Greenwich's.
    #[must_use]
    pub fn with_clock(self, now: fn() -> engine::Moment) -> Self {
        Self { now, ..self }
    }

    /// The same host with another way to show the work so far.
    #[must_use]
    pub fn with_previews(self, previews: PreviewMethod) -> Self {
        Self { previews, ..self }
    }

    /// The embeddings that prompts may call up, as the folders hold them now.
    pub(crate) fn embeddings(&self) -> Embeddings {
        Embeddings::in_folders(&self.models.folders("embeddings"))
    }

    /// The same host with networks on the first NVIDIA card. Everything between networks stays on the CPU: latents and
    /// states are small, and nodes and plugins read them.
    ///
    /// # Errors
    /// There is none, its driver does not work, or the program was built without CUDA.
    pub fn on_gpu(self) -> anyhow::Result<Self> {
        let device = Device::new_cuda(0).context("no NVIDIA graphics card can be used")?;
        Ok(Self { shared: self.shared.on(&device), ..self })
    }

    /// A path of the workflow as an absolute one. ComfyUI's clients write `a.png [output]` for a file of that folder.
    pub fn input_path(&self, path: &str) -> PathBuf {
        let noted = |kind: &str| path.strip_suffix(']')?.strip_suffix(kind)?.strip_suffix('[').map(str::trim_end);
        let path = if let Some(name) = noted("output") {
            self.out_dir.join(name)
        } else if let (Some(name), Some(temp)) = (noted("temp"), &self.temp_dir) {
            temp.join(name)
        } else {
            self.input_dir.join(noted("input").unwrap_or(path))
        };
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
        // Only to be faster the next time.
        if let Err(error) = self.store.put_record("digests", &key, digest.as_str().as_bytes()) {
            tracing::info!("a digest is not remembered: {error}");
        }
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
pub struct ModelDirs {
    roots: Vec<PathBuf>,
    /// More folders of single kinds: before and behind those in the roots.
    before: Vec<(String, PathBuf)>,
    behind: Vec<(String, PathBuf)>,
}

/// Kinds that ComfyUI has too: its workflows give their names without the kind.
const BARE: [&str; 14] = [
    "checkpoints",
    "clip",
    "clip_vision",
    "controlnet",
    "diffusers",
    "diffusion_models",
    "embeddings",
    "loras",
    "style_models",
    "text_encoders",
    "unet",
    "upscale_models",
    "vae",
    "vae_approx",
];

/// Kinds whose folder had another name once: ComfyUI looks into both.
const FORMER: [(&str, &str); 2] = [("text_encoders", "clip"), ("diffusion_models", "unet")];

/// The folders of a kind.
fn folders_of(kind: &str) -> Vec<&str> {
    [kind].into_iter().chain(FORMER.iter().filter(|(now, _)| *now == kind).map(|(_, once)| *once)).collect()
}

impl ModelDirs {
    /// These folders, the first one first.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, before: Vec::new(), behind: Vec::new() }
    }

    /// One more folder with models of one kind; `first`: its names count before those of all others.
    pub fn add(&mut self, kind: &str, folder: PathBuf, first: bool) {
        let list = if first { &mut self.before } else { &mut self.behind };
        list.push((kind.to_owned(), folder));
    }

    /// The folders that hold one folder per kind.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Every kind that has a folder here, or that workflows may name.
    pub fn kinds(&self) -> Vec<String> {
        let mut kinds: std::collections::BTreeSet<String> = BARE.iter().map(|k| (*k).to_owned()).collect();
        for root in &self.roots {
            let folders = std::fs::read_dir(root).into_iter().flatten().flatten().filter(|e| e.path().is_dir());
            kinds.extend(folders.map(|e| e.file_name().to_string_lossy().into_owned()));
        }
        kinds.extend(self.before.iter().chain(&self.behind).map(|(kind, _)| kind.clone()));
        kinds.into_iter().collect()
    }

    /// Names of the models of a kind, sorted: files of weights, or folders that hold a model, with `/` between folders.
    /// The kind may be written `models/loras` or `loras`. Kinds that ComfyUI does not have keep the kind in the name,
    /// `taggers/x`, as plugins ask for them.
    pub fn list(&self, kind: &str) -> Vec<String> {
        let kind = kind.strip_prefix("models/").unwrap_or(kind);
        let prefix = if BARE.contains(&kind) { String::new() } else { format!("{kind}/") };
        let mut names = Vec::new();
        for folder in self.folders(kind) {
            find_models(&folder, &prefix, 0, &mut names);
        }
        names.sort();
        names.dedup();
        names
    }

    /// Where models of a kind lie, whether or not the folders are there.
    pub fn folders(&self, kind: &str) -> Vec<PathBuf> {
        let kind = kind.strip_prefix("models/").unwrap_or(kind);
        let kinds = folders_of(kind);
        let single = |list: &[(String, PathBuf)]| -> Vec<PathBuf> {
            list.iter().filter(|(k, _)| kinds.contains(&k.as_str())).map(|(_, folder)| folder.clone()).collect()
        };
        let in_roots = kinds.iter().flat_map(|folder| self.roots.iter().map(move |root| root.join(folder)));
        single(&self.before).into_iter().chain(in_roots).chain(single(&self.behind)).collect()
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
            let found = self.folders(kind).into_iter().map(|folder| folder.join(bare)).find(|p| p.exists());
            return found.with_context(|| format!("{kind}/{bare} has just vanished"));
        }
        let looked: Vec<String> = self.folders(kind).iter().map(|f| f.display().to_string()).collect();
        let there = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
        bail!("no model `{name}` of kind {kind}: looked in {}, found {there}", looked.join(", "))
    }
}

/// What makes a folder one model.
const FOLDER_MARKS: [&str; 3] = ["model_index.json", "model.onnx", "config.json"];
/// Files of weights. Python's pickles are listed, so that the error of whoever names one says why it is not read.
const ENDINGS: [&str; 6] = ["safetensors", "sft", "gguf", "ckpt", "pth", "onnx"];
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
        } else if path.extension().is_some_and(|e| ENDINGS.iter().any(|known| e == *known)) {
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
            "clip/t5.safetensors",
            "text_encoders/l.safetensors",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let models = ModelDirs::new(vec![dir.path().into(), "/nowhere".into()]);
        assert_eq!(models.list("models/loras"), ["a.safetensors", "people/b.safetensors"]);
        assert_eq!(models.list("diffusers"), ["x"]);
        assert_eq!(models.list("text_encoders"), ["l.safetensors", "t5.safetensors"]);
        assert!(models.resolve("text_encoders", "t5.safetensors").unwrap().ends_with("clip/t5.safetensors"));
        assert_eq!(models.list("taggers"), ["taggers/t"]);
        assert_eq!(models.resolve("taggers", "taggers/t").unwrap(), models.resolve("models/taggers", "t").unwrap());
        assert!(models.resolve("loras", "people/b.safetensors").unwrap().is_file());
        let e = models.resolve("loras", "../diffusers/x").unwrap_err().to_string();
        assert!(e.ends_with("found a.safetensors, people/b.safetensors"), "{e}");
    }
}

//! Finds models in folders and loads each once.

use crate::onnx::OnnxNetwork;
use crate::runtime::{Runtime, RuntimeNetwork};
use crate::session::{self, Loaded};
use data::{Inference, ModelInfo, Network, Networks, Options, Session, Writer};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use spec::{ErrorKind, PluginError};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// The files that make a folder a model; of both the first is run.
const ONNX: &str = "model.onnx";
const WEIGHTS: &str = "model.safetensors";

/// The models below some root folders. An earlier root hides a later one's model of the same name.
pub struct Registry {
    roots: Vec<PathBuf>,
    networks: Option<Arc<dyn Networks>>,
    /// The library that runs ONNX files, loaded when the first of them is.
    runtime: Option<(PathBuf, OnceLock<Result<Runtime, PluginError>>)>,
    /// By file and options.
    sessions: Mutex<Kept<(PathBuf, String), Loaded>>,
    writers: Mutex<Kept<PathBuf, dyn Writer>>,
    digests: Mutex<HashMap<PathBuf, (Stamp, String)>>,
}

/// Tells whether a file changed since it was read.
type Stamp = (u64, Option<SystemTime>);

/// What was read, as the file was then.
type Kept<K, T> = HashMap<K, (Stamp, Arc<T>)>;

impl Registry {
    /// A registry over `roots`; folders that do not exist hold no models. Nothing is read yet.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self {
            roots,
            networks: None,
            runtime: None,
            sessions: Mutex::default(),
            writers: Mutex::default(),
            digests: Mutex::default(),
        }
    }

    /// The same registry, which also runs what these networks can.
    #[must_use]
    pub fn with_networks(self, networks: Arc<dyn Networks>) -> Self {
        Self { networks: Some(networks), ..self }
    }

    /// The same registry, whose ONNX files are run by the onnxruntime of this path. It is loaded when it is needed.
    #[must_use]
    pub fn with_onnxruntime(self, library: PathBuf) -> Self {
        Self { runtime: Some((library, OnceLock::new())), ..self }
    }

    /// Names such as `taggers/embedded-tagger`, sorted. Lists folders, reads no model.
    pub fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// The file of the model of this name.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.files().remove(name)
    }

    /// Digest of a model's file, `sha256:…`, for cache keys.
    ///
    /// # Errors
    /// No such model, or its file cannot be read.
    pub fn digest(&self, name: &str) -> Result<String, PluginError> {
        let path = self.find(name)?;
        let stamp = stamp(&path)?;
        if let Some((known, digest)) = self.digests.lock().get(&path)
            && *known == stamp
        {
            return Ok(digest.clone());
        }
        let mut hasher = Sha256::new();
        let mut file = std::fs::File::open(&path).map_err(|e| unreadable(&path, &e))?;
        std::io::copy(&mut file, &mut hasher).map_err(|e| unreadable(&path, &e))?;
        let hex: String = hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
        let digest = format!("sha256:{hex}");
        self.digests.lock().insert(path, (stamp, digest.clone()));
        Ok(digest)
    }

    /// Do models of this kind write texts?
    fn writes(&self, kind: &str) -> bool {
        self.networks.as_ref().is_some_and(|n| n.writers().contains(&kind))
    }

    /// The file of a folder of this kind that is run.
    fn file(&self, kind: &str, folder: &Path) -> Option<PathBuf> {
        let writes = self.writes(kind);
        let own = self.networks.as_ref().is_some_and(|n| writes || n.kinds().contains(&kind));
        let names = [(!writes).then_some(ONNX), own.then_some(WEIGHTS)];
        names.into_iter().flatten().map(|name| folder.join(name)).find(|file| file.is_file())
    }

    /// The files of all models, by name.
    fn files(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for root in &self.roots {
            for category in subfolders(root) {
                for folder in subfolders(&category) {
                    if let (Some(category), Some(name)) = (category.file_name(), folder.file_name())
                        && let Some(file) = self.file(&category.to_string_lossy(), &folder)
                    {
                        let name = format!("{}/{}", category.to_string_lossy(), name.to_string_lossy());
                        found.entry(name).or_insert(file);
                    }
                }
            }
        }
        found
    }

    fn find(&self, name: &str) -> Result<PathBuf, PluginError> {
        self.path(name).ok_or_else(|| {
            let plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let folder = self.roots.iter().map(|root| root.join(name)).find(|folder| plain && folder.is_dir());
            if let Some(folder) = folder {
                let message = format!(
                    "model `{name}`: {} has neither {ONNX} nor a {WEIGHTS} of a kind that is run here; Python's pickles \
                     (.bin, .pt, .ckpt) are not read",
                    folder.display()
                );
                return PluginError::new(ErrorKind::NotFound, message);
            }
            let known = self.names();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("no model `{name}` in the model folders; installed are: {known}");
            PluginError::new(ErrorKind::NotFound, message)
        })
    }

    fn open(&self, name: &str, options: &Options) -> Result<Arc<Loaded>, PluginError> {
        let path = self.find(name)?;
        let kind = kind(name);
        if self.writes(kind) {
            let message = format!("model `{name}` writes texts: it is asked by `generation`, not by `inference`");
            return Err(PluginError::new(ErrorKind::Unsupported, message));
        }
        let stamp = stamp(&path)?;
        let key = (path.clone(), serde_json::to_string(options).unwrap_or_default());
        // The lock is held while loading, so that two callers do not load the same weights twice.
        let mut sessions = self.sessions.lock();
        if let Some((known, session)) = sessions.get(&key)
            && *known == stamp
        {
            return Ok(session.clone());
        }
        let network: Arc<dyn Network> = match &self.networks {
            Some(networks) if path.ends_with(WEIGHTS) => networks.open(kind, &path, options)?,
            _ if options.is_empty() => self.onnx(&path)?,
            _ => {
                let found = serde_json::Value::from(options.clone());
                let message = format!("model `{name}`: expected no options, found {found}; ONNX files take none");
                return Err(PluginError::new(ErrorKind::InvalidInput, message));
            }
        };
        let session = Arc::new(Loaded::new(name, &path, self.digest(name)?, network));
        sessions.insert(key, (stamp, session.clone()));
        Ok(session)
    }

    /// An ONNX file, by the library that was asked for.
    fn onnx(&self, path: &Path) -> Result<Arc<dyn Network>, PluginError> {
        let Some((library, loaded)) = &self.runtime else { return Ok(Arc::new(OnnxNetwork::open(path)?)) };
        match loaded.get_or_init(|| Runtime::load(library)) {
            Ok(runtime) => Ok(Arc::new(RuntimeNetwork::open(runtime, path)?)),
            Err(e) => Err(e.clone()),
        }
    }

    /// What is known of a model.
    fn info(&self, name: &str) -> Result<ModelInfo, PluginError> {
        if !self.writes(kind(name)) {
            return Ok(self.open(name, &Options::new())?.info().clone());
        }
        let path = self.find(name)?;
        Ok(ModelInfo {
            name: name.to_owned(),
            family: session::family(name),
            digest: self.digest(name)?,
            device: "cpu".to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            assets: session::assets(&path),
        })
    }
}

/// The first part of a name.
fn kind(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

impl Inference for Registry {
    /// All models that can be loaded; a broken one is left out with a warning.
    fn models(&self) -> Vec<ModelInfo> {
        let info = |name: String| match self.info(&name) {
            Ok(info) => Some(info),
            Err(e) => {
                tracing::warn!("model left out: {e}");
                None
            }
        };
        self.names().into_iter().filter_map(info).collect()
    }

    fn load(&self, name: &str, options: Option<&serde_json::Value>) -> Result<Arc<dyn Session>, PluginError> {
        let none = Options::new();
        let options = match options {
            None | Some(serde_json::Value::Null) => &none,
            Some(serde_json::Value::Object(options)) => options,
            Some(other) => {
                let message = format!("model `{name}`: options: expected an object, found {other}");
                return Err(PluginError::new(ErrorKind::InvalidInput, message));
            }
        };
        Ok(self.open(name, options)?)
    }

    fn writer(&self, name: &str) -> Result<Arc<dyn Writer>, PluginError> {
        let path = self.find(name)?;
        let networks = self.networks.as_ref().filter(|_| self.writes(kind(name))).ok_or_else(|| {
            let message = format!("model `{name}` writes no texts; those that do lie in captioners/");
            PluginError::new(ErrorKind::Unsupported, message)
        })?;
        let stamp = stamp(&path)?;
        let mut writers = self.writers.lock();
        if let Some((known, writer)) = writers.get(&path)
            && *known == stamp
        {
            return Ok(writer.clone());
        }
        let writer = networks.open_writer(&path)?;
        writers.insert(path, (stamp, writer.clone()));
        Ok(writer)
    }
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    folders.sort();
    folders
}

fn stamp(path: &Path) -> Result<Stamp, PluginError> {
    let meta = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    Ok((meta.len(), meta.modified().ok()))
}

pub(crate) fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> PluginError {
    PluginError::new(ErrorKind::Unavailable, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Array, Image, IoDesc, WriteReply, WriteRequest};

    #[test]
    fn a_missing_model_lists_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("taggers/a")).unwrap();
        std::fs::create_dir_all(dir.path().join("taggers/not-a-model")).unwrap();
        std::fs::write(dir.path().join("taggers/a/model.onnx"), b"x").unwrap();
        let registry = Registry::new(vec!["/no/such/folder".into(), dir.path().into()]);
        assert_eq!(registry.names(), ["taggers/a"]);
        let e = registry.load("taggers/b", None).err().unwrap();
        assert_eq!(e.kind, ErrorKind::NotFound);
        assert!(e.message.contains("taggers/a"), "{e}");
        assert!(registry.load("../a", None).is_err());
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("taggers/broken/model.onnx");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        // Random bytes, and a file that is a valid but empty message.
        for content in [&b"\xff\xff\xff\xff not onnx"[..], b""] {
            std::fs::write(&file, content).unwrap();
            let registry = Registry::new(vec![dir.path().into()]);
            let e = registry.load("taggers/broken", None).err().unwrap();
            assert!(e.message.contains("taggers/broken/model.onnx"), "{e}");
            assert!(registry.models().is_empty());
        }
    }

    #[test]
    fn a_library_that_is_none_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("taggers/a")).unwrap();
        std::fs::write(dir.path().join("taggers/a/model.onnx"), b"x").unwrap();
        let library = dir.path().join("libonnxruntime.so");
        for (bytes, says) in [(None, "there is no such file"), (Some(b"not a library"), "failed to load")] {
            if let Some(bytes) = bytes {
                std::fs::write(&library, bytes).unwrap();
            }
            let registry = Registry::new(vec![dir.path().into()]).with_onnxruntime(library.clone());
            let e = registry.load("taggers/a", None).err().unwrap();
            assert_eq!(e.kind, ErrorKind::Unavailable);
            assert!(e.message.contains(says) && e.message.contains("`onnxruntime` in anagama.toml"), "{e}");
        }
    }

    /// Answers the number of bytes of its file.
    struct Length(Vec<IoDesc>, u64);

    impl Network for Length {
        fn inputs(&self) -> &[IoDesc] {
            &[]
        }
        fn outputs(&self) -> &[IoDesc] {
            &self.0
        }
        fn run(&self, _: &[Array]) -> Result<Vec<Array>, PluginError> {
            Ok(vec![Array::from_f32(vec![1], vec![self.1 as f32]).unwrap()])
        }
    }

    /// Writes where its file lies, and the prompt.
    struct Echo(String);

    impl Writer for Echo {
        fn write(&self, r: &WriteRequest, _: &[Image], _: &dyn Fn() -> bool) -> Result<WriteReply, PluginError> {
            Ok(WriteReply { text: format!("{} {}", self.0, r.prompt), tokens: 1, finished: true })
        }
    }

    struct Lengths;

    impl Networks for Lengths {
        fn kinds(&self) -> &[&str] {
            &["taggers"]
        }
        fn open(&self, _: &str, file: &Path, options: &Options) -> Result<Arc<dyn Network>, PluginError> {
            let output = IoDesc { name: "length".into(), dtype: data::Dtype::F32, shape: vec![Some(1)] };
            let more = options.get("more").and_then(serde_json::Value::as_u64).unwrap_or(0);
            Ok(Arc::new(Length(vec![output], std::fs::metadata(file).unwrap().len() + more)))
        }
        fn writers(&self) -> &[&str] {
            &["captioners"]
        }
        fn open_writer(&self, file: &Path) -> Result<Arc<dyn Writer>, PluginError> {
            Ok(Arc::new(Echo(file.display().to_string())))
        }
    }

    #[test]
    fn weight_files_are_run_by_the_networks_that_have_their_kind() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["taggers/own", "taggers/both", "text_encoders/other"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join(WEIGHTS), b"12345").unwrap();
        }
        std::fs::write(dir.path().join("taggers/both/model.onnx"), b"x").unwrap();
        std::fs::write(dir.path().join("taggers/own/tags.csv"), b"t").unwrap();
        let plain = Registry::new(vec![dir.path().into()]);
        assert_eq!(plain.names(), ["taggers/both"]);
        let registry = Registry::new(vec![dir.path().into()]).with_networks(Arc::new(Lengths));
        assert_eq!(registry.names(), ["taggers/both", "taggers/own"]);
        assert!(registry.path("taggers/both").unwrap().ends_with("model.onnx"));
        let session = registry.load("taggers/own", None).unwrap();
        assert_eq!(
            (session.info().family.as_str(), session.info().assets.as_slice()),
            ("tagger", &["tags.csv".to_owned()][..])
        );
        assert_eq!(session.run(vec![]).unwrap()[0].1.to_f32()[..], [5.0]);
        assert_eq!(session.asset("tags.csv").unwrap(), b"t");
    }

    #[test]
    fn models_that_write_are_asked_by_name_and_by_generation_alone() {
        let dir = tempfile::tempdir().unwrap();
        for (folder, file) in
            [("captioners/blip", WEIGHTS), ("captioners/old", "pytorch_model.bin"), ("taggers/own", WEIGHTS)]
        {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join(file), b"12345").unwrap();
        }
        let registry = Registry::new(vec![dir.path().into()]).with_networks(Arc::new(Lengths));
        assert_eq!(registry.names(), ["captioners/blip", "taggers/own"]);
        let infos = registry.models();
        assert_eq!((infos[0].family.as_str(), infos[0].inputs.len()), ("captioner", 0));
        let request = WriteRequest {
            system: None,
            prompt: "hello".into(),
            max_tokens: 1,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
            extra: None,
        };
        let writer = registry.writer("captioners/blip").unwrap();
        let text = writer.write(&request, &[], &|| true).unwrap().text;
        assert!(text.ends_with("model.safetensors hello"), "{text}");
        assert!(Arc::ptr_eq(&writer, &registry.writer("captioners/blip").unwrap()), "loaded once");
        let says = |e: Option<PluginError>, what: &str| {
            let e = e.unwrap().message;
            assert!(e.contains(what), "{what}: {e}");
        };
        says(registry.load("captioners/blip", None).err(), "asked by `generation`");
        says(registry.writer("taggers/own").err(), "`taggers/own` writes no texts");
        says(registry.writer("captioners/old").err(), "pickles (.bin");
        says(registry.writer("captioners/none").err(), "no model `captioners/none`");
    }

    #[test]
    fn options_are_for_networks_that_know_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("taggers/own")).unwrap();
        std::fs::write(dir.path().join("taggers/own").join(WEIGHTS), b"12345").unwrap();
        let registry = Registry::new(vec![dir.path().into()]).with_networks(Arc::new(Lengths));
        let length = |options: Option<serde_json::Value>| {
            registry.load("taggers/own", options.as_ref()).unwrap().run(vec![]).unwrap()[0].1.to_f32()[0]
        };
        assert_eq!((length(None), length(Some(serde_json::json!({"more": 2}))), length(None)), (5.0, 7.0, 5.0));
        let e = registry.load("taggers/own", Some(&serde_json::json!(1))).err().unwrap().message;
        assert!(e.contains("expected an object, found 1"), "{e}");
    }
}

//! Finds models in folders and loads each once.

use crate::session::OnnxSession;
use data::{Inference, ModelInfo, Session};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use spec::{ErrorKind, PluginError};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The file that makes a folder a model.
const MODEL_FILE: &str = "model.onnx";

/// The models below some root folders. An earlier root hides a later one's model of the same name.
pub struct Registry {
    roots: Vec<PathBuf>,
    sessions: Mutex<HashMap<PathBuf, (Stamp, Arc<OnnxSession>)>>,
    digests: Mutex<HashMap<PathBuf, (Stamp, String)>>,
}

/// Tells whether a file changed since it was read.
type Stamp = (u64, Option<SystemTime>);

impl Registry {
    /// A registry over `roots`; folders that do not exist hold no models. Nothing is read yet.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, sessions: Mutex::default(), digests: Mutex::default() }
    }

    /// Names such as `taggers/embedded-tagger`, sorted. Lists folders, reads no model.
    pub fn names(&self) -> Vec<String> {
        self.folders().into_keys().collect()
    }

    /// Where the model of this name lies.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.folders().remove(name).map(|folder| folder.join(MODEL_FILE))
    }

    /// Digest of a model's `model.onnx`, `sha256:…`, for cache keys.
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

    fn folders(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for root in &self.roots {
            for category in subfolders(root) {
                for folder in subfolders(&category) {
                    if folder.join(MODEL_FILE).is_file()
                        && let (Some(category), Some(name)) = (category.file_name(), folder.file_name())
                    {
                        let name = format!("{}/{}", category.to_string_lossy(), name.to_string_lossy());
                        found.entry(name).or_insert(folder);
                    }
                }
            }
        }
        found
    }

    fn find(&self, name: &str) -> Result<PathBuf, PluginError> {
        self.path(name).ok_or_else(|| {
            let known = self.names();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("no model `{name}` in the model folders; installed are: {known}");
            PluginError::new(ErrorKind::NotFound, message)
        })
    }

    fn open(&self, name: &str) -> Result<Arc<OnnxSession>, PluginError> {
        let path = self.find(name)?;
        let stamp = stamp(&path)?;
        // The lock is held while loading, so that two callers do not load the same weights twice.
        let mut sessions = self.sessions.lock();
        if let Some((known, session)) = sessions.get(&path)
            && *known == stamp
        {
            return Ok(session.clone());
        }
        let session = Arc::new(OnnxSession::open(name, &path, self.digest(name)?)?);
        sessions.insert(path, (stamp, session.clone()));
        Ok(session)
    }
}

impl Inference for Registry {
    /// All models that can be loaded; a broken one is left out with a warning.
    fn models(&self) -> Vec<ModelInfo> {
        let open = |name: String| match self.open(&name) {
            Ok(session) => Some(session.info().clone()),
            Err(e) => {
                tracing::warn!("model left out: {e}");
                None
            }
        };
        self.names().into_iter().filter_map(open).collect()
    }

    fn load(&self, name: &str, options: Option<&serde_json::Value>) -> Result<Arc<dyn Session>, PluginError> {
        if let Some(options) = options.filter(|o| o.as_object().is_none_or(|o| !o.is_empty())) {
            let message = format!("model `{name}`: expected no options, found {options}; ONNX models take none");
            return Err(PluginError::new(ErrorKind::InvalidInput, message));
        }
        Ok(self.open(name)?)
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
}

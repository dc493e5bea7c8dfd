//! Finds plugins in folders and keeps the list up to date.

use crate::aot::Compiler;
use crate::digest::sha256_file;
use crate::error::LoadError;
use crate::grants::{Grants, NativeHome};
use crate::lock::Lock;
use crate::manifest::FILE_NAME;
use crate::plugin::{Form, Plugin};
use crate::services::download::Network;
use crate::services::refusals::Refusals;
use crate::services::secrets::EnvFn;
use crate::wasm::Runtime;
use crate::{Limits, Manifest};
use data::Inference;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// Where plugins are, what they may do, and where the loader keeps its own files.
#[derive(Clone)]
pub struct LoaderConfig {
    /// Folders whose subfolders are plugins. An earlier folder's plugin hides a later one's of the same id.
    pub plugin_dirs: Vec<PathBuf>,
    /// Compiled components, descriptions, storage. Made when needed.
    pub cache_dir: PathBuf,
    /// Approvals of native libraries.
    pub lock_file: PathBuf,
    pub grants: Grants,
    /// Load the native library of a plugin that has one for this machine, if it is approved.
    pub prefer_native: bool,
    pub limits: Limits,
    /// Runs models for plugins.
    pub inference: Option<Arc<dyn Inference>>,
    /// Looks variables of the environment up, for the secrets that grants name.
    pub env: EnvFn,
    /// Where native libraries run whose grant does not say.
    pub native: NativeHome,
    /// The program that serves a library in a process of its own. With one, a new library also describes itself there, so
    /// that one that crashes does not take this program along. Only Unix has it.
    #[cfg(unix)]
    pub runner: Option<crate::Runner>,
    /// Compiles large components; none: this process does.
    pub compiler: Option<Compiler>,
}

impl Default for LoaderConfig {
    /// No plugins; caches below the system's temporary folder.
    fn default() -> Self {
        Self {
            plugin_dirs: Vec::new(),
            cache_dir: std::env::temp_dir().join("anagama-plugins"),
            lock_file: PathBuf::from("plugins.lock.json"),
            grants: Grants::default(),
            prefer_native: false,
            limits: Limits::default(),
            inference: None,
            env: Arc::new(|_| None),
            native: NativeHome::default(),
            #[cfg(unix)]
            runner: None,
            compiler: None,
        }
    }
}

/// The installed plugins.
pub struct Loader {
    shared: Arc<Shared>,
    found: RwLock<Found>,
    /// Held while looking again, so that two threads do not compile the same plugin.
    looking: Mutex<()>,
    /// Raised when the plugins are others than before.
    generation: AtomicU64,
}

/// What all plugins of a loader share.
pub(crate) struct Shared {
    pub(crate) config: LoaderConfig,
    pub(crate) network: Network,
    runtime: Mutex<Option<Arc<Runtime>>>,
    hashes: Mutex<HashMap<PathBuf, (Stamp, String)>>,
}

impl Shared {
    /// The engine for components, started when the first one is loaded.
    pub(crate) fn runtime(&self) -> Result<Arc<Runtime>, String> {
        let mut runtime = self.runtime.lock();
        if let Some(runtime) = &*runtime {
            return Ok(runtime.clone());
        }
        let new = Arc::new(Runtime::new(self.config.cache_dir.join("aot"), self.config.compiler.clone())?);
        *runtime = Some(new.clone());
        Ok(new)
    }

    /// sha256 of a file, hashed again only if its size or time changed.
    fn sha256(&self, path: &Path) -> Result<String, LoadError> {
        let stamp = stamp(path);
        if let Some((known, sha)) = self.hashes.lock().get(path)
            && *known == stamp
        {
            return Ok(sha.clone());
        }
        let sha = sha256_file(path).map_err(|e| LoadError::io(path, &e))?;
        self.hashes.lock().insert(path.to_owned(), (stamp, sha.clone()));
        Ok(sha)
    }
}

/// Tells whether a file changed: size and time of modification, or its absence.
type Stamp = Option<(u64, Option<SystemTime>)>;

fn stamp(path: &Path) -> Stamp {
    std::fs::metadata(path).ok().map(|m| (m.len(), m.modified().ok()))
}

/// A library must still be approved.
fn may_stay(entry: &Entry, lock: &Lock) -> bool {
    entry.plugin.form() == Form::Wasm || lock.approves(entry.plugin.sha256())
}

#[derive(Default)]
struct Found {
    plugins: BTreeMap<String, Entry>,
    problems: Vec<LoadError>,
}

#[derive(Clone)]
struct Entry {
    plugin: Arc<Plugin>,
    folder: PathBuf,
    /// Of the manifest, the artefact and the lock file, as they were when the plugin was listed.
    stamps: [Stamp; 3],
    /// Why its newest files cannot be used; it is an older state of them then.
    newer: Option<LoadError>,
}

impl Loader {
    /// Reads all manifests. A plugin that cannot be used is among the [`Loader::problems`] and hides no other.
    ///
    /// # Errors
    /// The lock file is damaged.
    pub fn new(config: LoaderConfig) -> Result<Self, LoadError> {
        let refusals = Refusals::new(config.cache_dir.join("refused"));
        let network = Network { env: config.env.clone(), refusals, ..Network::default() };
        let shared = Arc::new(Shared { config, network, runtime: Mutex::default(), hashes: Mutex::default() });
        let loader =
            Self { shared, found: RwLock::default(), looking: Mutex::default(), generation: AtomicU64::new(0) };
        loader.refresh()?;
        Ok(loader)
    }

    /// Looks again: new, changed and removed plugins are picked up, unchanged ones stay as they are, and what
    /// is open goes on with the artefact it was opened from. A plugin whose new files cannot be used stays as it was,
    /// and the reason is among the [`Loader::problems`].
    ///
    /// # Errors
    /// The lock file is damaged.
    pub fn refresh(&self) -> Result<(), LoadError> {
        let _looking = self.looking.lock();
        let lock = Lock::read(&self.shared.config.lock_file)?;
        // Others go on with the old list until the new one is whole.
        let old: Vec<Entry> = self.found.read().plugins.values().cloned().collect();
        let mut found = Found::default();
        for folder in self.folders() {
            let known = old.iter().find(|e| e.folder == folder && !self.is_stale(e));
            let entry = match known {
                Some(known) => known.clone(),
                None => match self.load(&folder, &lock, &mut found.problems) {
                    Ok(plugin) => {
                        let stamps = self.stamps(&plugin, &folder);
                        Entry { plugin: Arc::new(plugin), folder, stamps, newer: None }
                    }
                    Err(e) => match old.iter().find(|entry| entry.folder == folder && may_stay(entry, &lock)) {
                        Some(before) => {
                            tracing::error!("{e}; {} stays in use", before.plugin.name());
                            let stamps = self.stamps(&before.plugin, &folder);
                            Entry { newer: Some(e), stamps, ..before.clone() }
                        }
                        None => {
                            found.problems.push(e);
                            continue;
                        }
                    },
                },
            };
            found.problems.extend(entry.newer.clone());
            let id = entry.plugin.id().to_owned();
            match found.plugins.get(&id) {
                Some(used) => found.problems.push(LoadError::Twice {
                    id,
                    used: used.folder.clone(),
                    left_out: entry.folder.clone(),
                }),
                None => {
                    found.plugins.insert(id, entry);
                }
            }
        }
        let same = |a: &Entry, b: &Entry| Arc::ptr_eq(&a.plugin, &b.plugin);
        let changed =
            old.len() != found.plugins.len() || !old.iter().zip(found.plugins.values()).all(|(a, b)| same(a, b));
        *self.found.write() = found;
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// Another number than before if plugins came, went or changed since.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// All usable plugins, by id.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.found.read().plugins.values().map(|e| e.plugin.clone()).collect()
    }

    /// What is wrong with the others.
    pub fn problems(&self) -> Vec<LoadError> {
        self.found.read().problems.clone()
    }

    /// The plugin with this id; if its files changed, the new one.
    ///
    /// # Errors
    /// It is not installed, or cannot be used.
    pub fn plugin(&self, id: &str) -> Result<Arc<Plugin>, LoadError> {
        let stale = self.found.read().plugins.get(id).is_none_or(|e| self.is_stale(e));
        if stale {
            self.refresh()?;
        }
        let found = self.found.read();
        if let Some(entry) = found.plugins.get(id) {
            return Ok(entry.plugin.clone());
        }
        // Perhaps it is there and broken; that says more than that it is missing.
        let quoted = [format!("plugin {id} "), format!("{id}:"), format!("/{id}/")];
        let why = found.problems.iter().find(|p| quoted.iter().any(|q| p.to_string().contains(q)));
        Err(why.cloned().unwrap_or_else(|| LoadError::Unknown {
            id: id.to_owned(),
            known: found.plugins.keys().cloned().collect(),
        }))
    }

    /// The plugin that offers the node with this id, and the node.
    pub fn node(&self, node_id: &str) -> Option<(Arc<Plugin>, spec::Node)> {
        self.found.read().plugins.values().find_map(|e| {
            let node = e.plugin.info().nodes.iter().find(|n| n.id == node_id)?;
            Some((e.plugin.clone(), node.clone()))
        })
    }

    fn folders(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for dir in &self.shared.config.plugin_dirs {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let mut folders: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.join(FILE_NAME).is_file()).collect();
            folders.sort();
            all.extend(folders);
        }
        all
    }

    fn stamps(&self, plugin: &Plugin, folder: &Path) -> [Stamp; 3] {
        [stamp(&folder.join(FILE_NAME)), stamp(&plugin.inner().path), stamp(&self.shared.config.lock_file)]
    }

    fn is_stale(&self, entry: &Entry) -> bool {
        entry.stamps != self.stamps(&entry.plugin, &entry.folder)
    }

    fn load(&self, folder: &Path, lock: &Lock, problems: &mut Vec<LoadError>) -> Result<Plugin, LoadError> {
        let manifest = Manifest::read(folder)?;
        let component = manifest.component.as_ref().map(|name| folder.join(name));
        let native = manifest.native_here().map(|name| folder.join(name));
        // Native is never chosen by itself: only when asked for, or when there is nothing else.
        let native = native.filter(|path| component.is_none() || (self.shared.config.prefer_native && path.is_file()));
        if let Some(path) = native {
            let sha = self.shared.sha256(&path)?;
            if lock.approves(&sha) {
                return Plugin::new(self.shared.clone(), manifest, Form::Native, path, sha);
            }
            let plugin = format!("plugin {} {}", manifest.id, manifest.version);
            let refused = LoadError::NotApproved { plugin, path, sha256: sha };
            if component.is_none() {
                return Err(refused);
            }
            problems.push(refused);
        }
        let Some(path) = component else {
            return Err(LoadError::Manifest {
                path: folder.join(FILE_NAME),
                problem: format!(
                    "no artefact for this machine: expected `component` or a library for {} under [native], found {}",
                    crate::NATIVE_TARGET,
                    manifest.native.keys().cloned().collect::<Vec<_>>().join(", ")
                ),
            });
        };
        let sha = self.shared.sha256(&path)?;
        Plugin::new(self.shared.clone(), manifest, Form::Wasm, path, sha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &Path) -> LoaderConfig {
        LoaderConfig {
            plugin_dirs: vec![dir.join("plugins"), dir.join("more")],
            cache_dir: dir.join("cache"),
            lock_file: dir.join("lock.json"),
            ..LoaderConfig::default()
        }
    }

    fn install(folder: &Path, id: &str, artefact: &[u8]) {
        std::fs::create_dir_all(folder).unwrap();
        let text =
            format!("id = \"{id}\"\nversion = \"0.1.0\"\nwit = \"anagama:plugin@0.1.0\"\ncomponent = \"x.wasm\"\n");
        std::fs::write(folder.join(FILE_NAME), text).unwrap();
        std::fs::write(folder.join("x.wasm"), artefact).unwrap();
    }

    #[test]
    fn no_folders_no_plugins() {
        let dir = tempfile::tempdir().unwrap();
        let loader = Loader::new(config(dir.path())).unwrap();
        assert!(loader.plugins().is_empty() && loader.problems().is_empty());
        let e = loader.plugin("a.b").unwrap_err().to_string();
        assert!(e.contains("`a.b`") && e.contains("none"), "{e}");
    }

    #[test]
    fn each_broken_plugin_is_a_problem_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let plugins = dir.path().join("plugins");
        install(&plugins.join("a"), "x.a", b"not wasm");
        install(&plugins.join("b"), "x.b", b"\0asm\x0d\0\x01\0");
        install(&plugins.join("c"), "bad id", b"");
        install(&plugins.join("d"), "x.d", b"");
        std::fs::remove_file(plugins.join("d/x.wasm")).unwrap();
        let loader = Loader::new(config(dir.path())).unwrap();
        let problems: Vec<String> = loader.problems().iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(
            problems[0].contains("plugin x.a 0.1.0 (wasm ") && problems[0].contains("not a component"),
            "{problems:?}"
        );
        assert!(problems[1].contains("plugin x.b") && problems[1].contains("describe"), "{problems:?}");
        assert!(problems[2].contains("vendor.name"), "{problems:?}");
        assert!(problems[3].contains("d/x.wasm"), "{problems:?}");
        let e = loader.plugin("x.a").unwrap_err().to_string();
        assert!(e.contains("not a component"), "the reason, not that it is missing: {e}");
    }

    /// A component that says nothing but its name is enough to be listed, if its description is known.
    #[test]
    fn a_plugin_that_got_worse_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plugins/a");
        install(&folder, "x.a", b"good");
        let sha = sha256_file(&folder.join("x.wasm")).unwrap();
        let info = serde_json::json!({
            "id": "x.a", "version": "0.1.0", "title": "", "description": "", "authors": [], "license": null,
            "config-schema": null, "nodes": []
        });
        let kinds = vec![crate::Kind::Captioner];
        let info = serde_json::from_value(info).unwrap();
        crate::description::Description { kinds, imports: vec![], info }.write(&dir.path().join("cache"), &sha);

        let loader = Loader::new(config(dir.path())).unwrap();
        let (first, generation) = (loader.plugin("x.a").unwrap(), loader.generation());
        loader.refresh().unwrap();
        assert_eq!(loader.generation(), generation, "nothing changed");

        install(&folder, "x.a", b"worse than before");
        loader.refresh().unwrap();
        assert!(Arc::ptr_eq(&first, &loader.plugin("x.a").unwrap()));
        for _ in 0..2 {
            let problems: Vec<String> = loader.problems().iter().map(ToString::to_string).collect();
            assert!(problems.len() == 1 && problems[0].contains("not a component"), "{problems:?}");
            loader.refresh().unwrap();
        }
        assert_eq!(loader.generation(), generation);

        install(&folder, "x.a", b"good");
        loader.refresh().unwrap();
        assert!(loader.problems().is_empty() && loader.generation() > generation);
        std::fs::remove_dir_all(&folder).unwrap();
        loader.refresh().unwrap();
        assert!(loader.plugins().is_empty());
    }

    #[test]
    fn a_native_plugin_needs_an_approval() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("plugins/n");
        std::fs::create_dir_all(&folder).unwrap();
        let target = crate::NATIVE_TARGET;
        let text = format!(
            "id = \"x.n\"\nversion = \"0.1.0\"\nwit = \"anagama:plugin@0.1.0\"\n[native]\n{target} = \"libn.so\"\n"
        );
        std::fs::write(folder.join(FILE_NAME), text).unwrap();
        std::fs::write(folder.join("libn.so"), b"no library").unwrap();
        let loader = Loader::new(config(dir.path())).unwrap();
        let e = loader.plugin("x.n").unwrap_err().to_string();
        assert!(e.contains("anagama plugins approve") && e.contains("libn.so"), "{e}");
        crate::approve(&dir.path().join("lock.json"), &folder).unwrap();
        let e = loader.plugin("x.n").unwrap_err().to_string();
        assert!(!e.contains("approve"), "approved, but no library: {e}");
    }
}

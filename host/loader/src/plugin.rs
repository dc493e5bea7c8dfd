//! One installed plugin: described from the cache, loaded when it is first opened.

use crate::description::{Description, Explanation};
use crate::digest::sha256;
use crate::error::LoadError;
use crate::grants::{NativeHome, Rights};
use crate::kinds::captioner::GuardedCaptioner;
use crate::kinds::dataset_source::GuardedSource;
use crate::kinds::evaluator::GuardedEvaluator;
use crate::kinds::tag_filter::GuardedFilter;
use crate::kinds::{Artefact, Guard, Kind, OpenError, node};
use crate::loader::Shared;
use crate::services::{Services, download::Network, storage::Storage};
use crate::{CallContext, Limits, Manifest, NodeCall, NodeReturned, NodeVerdict};
use data::{Captioner, DatasetSource, Evaluator, TagFilter};
use parking_lot::Mutex;
use serde::Serialize;
use spec::{PluginError, PluginInfo};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which of its artefacts a plugin is loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A sandboxed component.
    Wasm,
    /// A native library that the user approved.
    Native,
}

/// An installed plugin. Cheap to clone; what it opens lives independently of it.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) manifest: Manifest,
    pub(crate) form: Form,
    /// The component or library.
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    rights: Rights,
    shared: Arc<Shared>,
    description: Description,
    artefact: Mutex<Option<Arc<dyn Artefact>>>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plugin({}, {:?}, {})", self.name(), self.0.form, self.0.sha256)
    }
}

impl Plugin {
    /// Describes an artefact from the cache, or by loading it if it is new.
    pub(crate) fn new(
        shared: Arc<Shared>,
        manifest: Manifest,
        form: Form,
        path: PathBuf,
        sha256: String,
    ) -> Result<Self, LoadError> {
        let rights = Rights::new(&manifest.id, &manifest.requests, &shared.config.grants);
        let name = label(&manifest, form, &sha256, None);
        let failed = |problem: String| LoadError::Artefact { plugin: name.clone(), problem };
        let cached = Description::read(&shared.config.cache_dir, &sha256);
        let mut artefact = None;
        let description = match cached {
            Some(description) => description,
            None => {
                let (loaded, description) = load(&shared, &rights, form, &path, &sha256).map_err(failed)?;
                description.check(&manifest.id, &rights).map_err(failed)?;
                description.write(&shared.config.cache_dir, &sha256);
                artefact = loaded;
                description
            }
        };
        description.check(&manifest.id, &rights).map_err(failed)?;
        let artefact = Mutex::new(artefact);
        Ok(Self(Arc::new(Inner { manifest, form, path, sha256, rights, shared, description, artefact })))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// `vendor.name`.
    pub fn id(&self) -> &str {
        &self.0.manifest.id
    }

    pub fn version(&self) -> &str {
        &self.0.manifest.version
    }

    /// sha256 of the artefact in use, in hex: part of every cache key of its results.
    pub fn sha256(&self) -> &str {
        &self.0.sha256
    }

    pub fn form(&self) -> Form {
        self.0.form
    }

    pub fn kinds(&self) -> &[Kind] {
        &self.0.description.kinds
    }

    /// What it says of itself, its nodes among it.
    pub fn info(&self) -> &PluginInfo {
        &self.0.description.info
    }

    /// What it may use.
    pub fn rights(&self) -> &Rights {
        &self.0.rights
    }

    /// `plugin ID VERSION (wasm 0123456789ab)`, as error messages begin.
    pub fn name(&self) -> String {
        self.0.label(None)
    }

    /// All that is known of it, for the user.
    pub fn explain(&self) -> Explanation {
        let Inner { manifest, form, path, sha256, rights, description, .. } = &*self.0;
        Explanation {
            id: manifest.id.clone(),
            version: manifest.version.clone(),
            title: description.info.title.clone(),
            description: description.info.description.clone(),
            license: description.info.license.clone(),
            form: *form,
            kinds: description.kinds.iter().map(|k| crate::kinds::name(*k)).collect(),
            wit: manifest.wit.clone(),
            path: path.clone(),
            sha256: sha256.clone(),
            nodes: description.info.nodes.iter().map(|n| n.id.clone()).collect(),
            imports: description.imports.clone(),
            may: rights.may(self.0.shared.config.limits.deadline),
            rights: rights.lines(),
            refused: self.0.shared.network.refusals.of(&manifest.id),
        }
    }

    /// A captioner configured with the JSON object `config`.
    ///
    /// # Errors
    /// It is none, does not load, or refuses its settings.
    pub fn open_captioner(
        &self,
        config: &serde_json::Value,
        call: CallContext,
    ) -> Result<Box<dyn Captioner>, LoadError> {
        let guard = self.0.guard(Kind::Captioner, config, call, |a, config, s| a.captioner(config, s))?;
        Ok(Box::new(GuardedCaptioner::new(guard).map_err(|e| self.0.refused(Kind::Captioner, &e))?))
    }

    /// A data set source configured with `config`. The folders it may read are those in `call`.
    ///
    /// # Errors
    /// It is none, does not load, or refuses its settings.
    pub fn open_dataset_source(
        &self,
        config: &serde_json::Value,
        call: CallContext,
    ) -> Result<Box<dyn DatasetSource>, LoadError> {
        let guard = self.0.guard(Kind::DatasetSource, config, call, |a, config, s| a.dataset_source(config, s))?;
        Ok(Box::new(GuardedSource::new(guard)))
    }

    /// A tag filter configured with `config`.
    ///
    /// # Errors
    /// It is none, does not load, or refuses its settings.
    pub fn open_tag_filter(
        &self,
        config: &serde_json::Value,
        call: CallContext,
    ) -> Result<Box<dyn TagFilter>, LoadError> {
        let guard = self.0.guard(Kind::TagFilter, config, call, |a, config, s| a.tag_filter(config, s))?;
        Ok(Box::new(GuardedFilter::new(guard).map_err(|e| self.0.refused(Kind::TagFilter, &e))?))
    }

    /// An evaluator configured with `config`.
    ///
    /// # Errors
    /// It is none, does not load, or refuses its settings.
    pub fn open_evaluator(
        &self,
        config: &serde_json::Value,
        call: CallContext,
    ) -> Result<Box<dyn Evaluator>, LoadError> {
        let guard = self.0.guard(Kind::Evaluator, config, call, |a, config, s| a.evaluator(config, s))?;
        Ok(Box::new(GuardedEvaluator::new(guard).map_err(|e| self.0.refused(Kind::Evaluator, &e))?))
    }

    /// Fetches a file that the plugin named, with its rights: politely, again after a failure, and from where a
    /// connection broke.
    ///
    /// # Errors
    /// No grant allows it, or it cannot be had.
    pub fn download(&self, url: &str, call: &CallContext) -> Result<Vec<u8>, PluginError> {
        let fetched = self.0.services(call).download(url);
        fetched.unwrap_or_else(|fault| Err(PluginError::new(fault.kind(), format!("{url}: {fault}"))))
    }

    /// Runs one of its nodes in a fresh instance.
    ///
    /// # Errors
    /// It has no such node, does not load, or the run fails.
    pub fn run_node(&self, node_id: &str, node_call: &NodeCall, call: CallContext) -> Result<NodeReturned, LoadError> {
        let (node, guard) = self.node(node_id, call)?;
        node::run(guard, node, node_call).map_err(|e| self.0.refused(Kind::Node, &e))
    }

    /// Asks one of its nodes which lazy inputs a call needs.
    ///
    /// # Errors
    /// As [`Plugin::run_node`].
    pub fn check_lazy(&self, node_id: &str, node_call: &NodeCall, call: CallContext) -> Result<Vec<String>, LoadError> {
        let (node, guard) = self.node(node_id, call)?;
        node::call(guard, node, |n| n.check_lazy(node_id, node_call)).map_err(|e| self.0.refused(Kind::Node, &e))
    }

    /// Lets one of its nodes check inputs before anything runs.
    ///
    /// # Errors
    /// As [`Plugin::run_node`].
    pub fn validate_node(
        &self,
        node_id: &str,
        node_call: &NodeCall,
        types: &[(String, String)],
        call: CallContext,
    ) -> Result<NodeVerdict, LoadError> {
        let (node, guard) = self.node(node_id, call)?;
        node::call(guard, node, |n| n.validate(node_id, node_call, types)).map_err(|e| self.0.refused(Kind::Node, &e))
    }

    /// What a node's result depends on besides its inputs; none: it runs every time.
    ///
    /// # Errors
    /// As [`Plugin::run_node`].
    pub fn fingerprint_node(
        &self,
        node_id: &str,
        node_call: &NodeCall,
        call: CallContext,
    ) -> Result<Option<String>, LoadError> {
        let (node, guard) = self.node(node_id, call)?;
        node::call(guard, node, |n| n.fingerprint(node_id, node_call)).map_err(|e| self.0.refused(Kind::Node, &e))
    }

    fn node(&self, id: &str, call: CallContext) -> Result<(&spec::Node, Guard<dyn node::RawNode>), LoadError> {
        let nodes = &self.info().nodes;
        let node = nodes.iter().find(|n| n.id == id).ok_or_else(|| {
            let known: Vec<&str> = nodes.iter().map(|n| n.id.as_str()).collect();
            self.0.problem(Kind::Node, "run", format!("no node `{id}`; it has: {}", known.join(", ")))
        })?;
        let none = serde_json::json!({});
        Ok((node, self.0.guard(Kind::Node, &none, call, |a, _, services| a.node(services))?))
    }
}

impl Inner {
    fn label(&self, kind: Option<Kind>) -> String {
        label(&self.manifest, self.form, &self.sha256, kind)
    }

    fn problem(&self, kind: Kind, stage: &str, problem: String) -> LoadError {
        LoadError::Call { plugin: self.label(Some(kind)), stage: stage.to_owned(), problem, kind: None }
    }

    /// An error that names the plugin already.
    fn refused(&self, kind: Kind, error: &PluginError) -> LoadError {
        let prefix = format!("{}: ", self.label(Some(kind)));
        let problem = error.message.strip_prefix(&prefix).unwrap_or(&error.message);
        let (stage, problem) = problem.split_once(": ").unwrap_or(("call", problem));
        LoadError::Call {
            plugin: self.label(Some(kind)),
            stage: stage.to_owned(),
            problem: problem.to_owned(),
            kind: Some(error.kind),
        }
    }

    /// Opens a first instance and knows how to open the next.
    fn guard<I: ?Sized + 'static>(
        self: &Arc<Self>,
        kind: Kind,
        config: &serde_json::Value,
        call: CallContext,
        open: impl Fn(&dyn Artefact, &str, Services) -> Result<Box<I>, OpenError> + Send + 'static,
    ) -> Result<Guard<I>, LoadError> {
        if !self.description.kinds.contains(&kind) {
            let kinds: Vec<&str> = self.description.kinds.iter().map(|k| crate::kinds::name(*k)).collect();
            return Err(self.problem(
                kind,
                "open",
                format!("expected a {}, found {}", crate::kinds::name(kind), kinds.join(", ")),
            ));
        }
        if !config.is_object() {
            return Err(self.problem(kind, "open", format!("expected a JSON object of settings, found {config}")));
        }
        let (inner, config) = (self.clone(), config.to_string());
        let opener = move || open(&*inner.artefact().map_err(OpenError::Link)?, &config, inner.services(&call));
        Guard::new(self.label(Some(kind)), Box::new(opener)).map_err(|e| LoadError::Call {
            plugin: self.label(Some(kind)),
            stage: "open".to_owned(),
            problem: e.to_string(),
            kind: Some(e.kind()),
        })
    }

    fn services(&self, call: &CallContext) -> Services {
        let usual = self.shared.config.limits;
        let longer = || Limits { deadline: self.rights.deadline(usual.deadline), ..usual };
        let limits = call.limits.unwrap_or_else(longer);
        let storage =
            Storage::new(self.shared.config.cache_dir.join("storage").join(&self.manifest.id), self.rights.storage);
        let inference = self.shared.config.inference.clone();
        Services::new(
            self.manifest.id.clone(),
            self.rights.clone(),
            call.clone(),
            limits,
            inference,
            storage,
            self.shared.network.clone(),
        )
    }

    /// The loaded artefact; loads it the first time.
    fn artefact(&self) -> Result<Arc<dyn Artefact>, String> {
        let mut artefact = self.artefact.lock();
        if let Some(loaded) = &*artefact {
            return Ok(loaded.clone());
        }
        let loaded = match self.form {
            Form::Wasm => {
                let bytes = read_unchanged(&self.path, &self.sha256)?;
                Arc::new(self.shared.runtime()?.load(&bytes, &self.sha256)?) as Arc<dyn Artefact>
            }
            Form::Native => load_native(&self.shared, &self.rights, &self.path, &self.sha256)?,
        };
        *artefact = Some(loaded.clone());
        Ok(loaded)
    }
}

fn label(manifest: &Manifest, form: Form, sha256: &str, kind: Option<Kind>) -> String {
    let kind = kind.map_or(String::new(), |k| format!("{}, ", crate::kinds::name(k)));
    let form = match form {
        Form::Wasm => "wasm",
        Form::Native => "native",
    };
    format!("plugin {} {} ({kind}{form} {})", manifest.id, manifest.version, &sha256[..sha256.len().min(12)])
}

/// What a plugin says of itself; with its artefact, if that was loaded for it.
type Described = (Option<Arc<dyn Artefact>>, Description);

/// Loads an artefact for the first time and asks it what it is.
fn load(
    shared: &Arc<Shared>,
    rights: &Rights,
    form: Form,
    path: &std::path::Path,
    sha256: &str,
) -> Result<Described, String> {
    match form {
        Form::Wasm => {
            let bytes = read_unchanged(path, sha256)?;
            let linked = shared.runtime()?.load(&bytes, sha256)?;
            let info = linked.describe(|| no_rights(shared)).map_err(|e| e.to_string())?;
            let description = Description { kinds: linked.kinds().to_vec(), imports: linked.imports().to_vec(), info };
            Ok((Some(Arc::new(linked)), description))
        }
        Form::Native => describe_native(shared, rights, path, sha256),
    }
}

/// A new library describes itself in a process of its own if there is a program for that, and is not loaded here yet.
#[cfg(unix)]
fn describe_native(
    shared: &Shared,
    rights: &Rights,
    path: &std::path::Path,
    sha256: &str,
) -> Result<Described, String> {
    if shared.config.runner.is_none() {
        return describe_here(shared, rights, path, sha256);
    }
    let separate = separate(shared, path, sha256)?;
    let (info, kinds) = separate.describe(no_rights(shared)).map_err(|e| format!("describe: {e}"))?;
    Ok((None, Description { kinds, imports: Vec::new(), info }))
}

#[cfg(not(unix))]
fn describe_native(
    shared: &Shared,
    rights: &Rights,
    path: &std::path::Path,
    sha256: &str,
) -> Result<Described, String> {
    describe_here(shared, rights, path, sha256)
}

fn describe_here(shared: &Shared, rights: &Rights, path: &std::path::Path, sha256: &str) -> Result<Described, String> {
    if home(shared, rights) == NativeHome::Process {
        return Err(NO_RUNNER.to_owned());
    }
    let library = in_process(shared, path, sha256)?;
    let info = library.describe(no_rights(shared)).map_err(|e| e.to_string())?;
    let description = Description { kinds: library.kinds(), imports: Vec::new(), info };
    Ok((Some(Arc::new(library)), description))
}

fn home(shared: &Shared, rights: &Rights) -> NativeHome {
    rights.native().unwrap_or(shared.config.native)
}

/// The library, in this process or ready for one of its own.
fn load_native(
    shared: &Shared,
    rights: &Rights,
    path: &std::path::Path,
    sha256: &str,
) -> Result<Arc<dyn Artefact>, String> {
    match home(shared, rights) {
        NativeHome::InProcess => Ok(Arc::new(in_process(shared, path, sha256)?)),
        #[cfg(unix)]
        NativeHome::Process => Ok(Arc::new(separate(shared, path, sha256)?)),
        #[cfg(not(unix))]
        NativeHome::Process => Err(NO_RUNNER.to_owned()),
    }
}

const NO_RUNNER: &str = "it shall run in a process of its own, which this program does not offer here; `native = \"in-process\"` \
                         runs it in this one";

#[cfg(unix)]
fn separate(shared: &Shared, path: &std::path::Path, sha256: &str) -> Result<crate::native::Separate, String> {
    let runner = shared.config.runner.clone().ok_or(NO_RUNNER)?;
    let (bytes, folder) = (read_unchanged(path, sha256)?, shared.config.cache_dir.join("native"));
    let file =
        crate::native::private_copy(&bytes, sha256, &folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(crate::native::Separate::new(runner, file))
}

fn in_process(shared: &Shared, path: &std::path::Path, sha256: &str) -> Result<crate::native::Library, String> {
    let bytes = read_unchanged(path, sha256)?;
    crate::native::Library::load(&bytes, sha256, &shared.config.cache_dir.join("native"))
}

/// Describing gets nothing: no grants, no models, a short time.
fn no_rights(shared: &Shared) -> Services {
    let limits = Limits { deadline: Duration::from_secs(5), ..shared.config.limits };
    let storage = Storage::new(PathBuf::new(), 0);
    Services::new(
        "describe".to_owned(),
        Rights::default(),
        CallContext::default(),
        limits,
        None,
        storage,
        Network::default(),
    )
}

/// The bytes of an artefact, if they still are those that were hashed.
fn read_unchanged(path: &std::path::Path, sha: &str) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if sha256(&bytes) != sha {
        return Err(format!("{} changed after it was listed; run again to use the new one", path.display()));
    }
    Ok(bytes)
}

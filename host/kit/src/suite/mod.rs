//! `anagama plugin test`: what every plugin of a kind must hold to, tried on the built artefact through the host's loader.
//!
//! Each kind has one file that opens an instance and gives it a set of inputs; the checks are the same for all and compare
//! such answers. Start at [`run`] and [`CHECKS`].

mod captioner;
mod checks;
mod dataset_source;
mod evaluator;
mod items;
mod node;
mod settings;
mod tag_filter;

pub use items::Items;

use anyhow::{Context, Result, bail, ensure};
use loader::{CallContext, Form, Kind, LoadError, Loader, LoaderConfig, Plugin};
use serde::Deserialize;
use serde_json::{Map, Value};
use spec::{ErrorKind, PluginError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the author says about testing; in the plugin's folder.
pub const FILE: &str = "conformance.json";

/// How a plugin is to be tested, as `conformance.json` says. Without it defaults are tried.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Setup {
    /// By node id: an object of settings, or several, each of which is tried.
    pub settings: BTreeMap<String, Value>,
    /// Folders that the plugin may read, by the names that it uses; relative to the plugin's folder. Without any it gets
    /// one of twelve pictures with captions under every name that it asks for.
    pub folders: BTreeMap<String, PathBuf>,
}

impl Setup {
    /// Reads `conformance.json` of a plugin's folder, if there is one.
    ///
    /// # Errors
    /// It cannot be read or is wrong.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        let mut setup: Self = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        setup.folders.values_mut().for_each(|f| *f = folder.join(&f));
        Ok(setup)
    }
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a remark, or none.
    Passed(String),
    Failed(String),
    Skipped(String),
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The id of the node that was tried.
    pub node: String,
    pub check: &'static str,
    pub outcome: Outcome,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Report {
    /// As messages name the plugin.
    pub plugin: String,
    pub findings: Vec<Finding>,
}

impl Report {
    /// What failed.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| matches!(f.outcome, Outcome::Failed(_)))
    }
}

/// Answers of one instance to one set of inputs.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answers {
    /// One for each item, whatever the batches were; scores as bits.
    lines: Vec<String>,
    /// Of items that failed alone.
    errors: Vec<String>,
}

impl Answers {
    fn take(&mut self, answer: Result<String, PluginError>) {
        match answer {
            Ok(line) => self.lines.push(line),
            Err(e) => {
                // Messages say which item of which batch it was; the kind is what must not change.
                self.lines.push(format!("error {:?}", e.kind));
                self.errors.push(e.message);
            }
        }
    }
}

/// Why an instance gave no answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    kind: Option<ErrorKind>,
    message: String,
}

impl Refusal {
    /// The plugin does what no plugin may.
    fn broken(message: impl Into<String>) -> Self {
        Self { kind: None, message: format!("broke the contract: {}", message.into()) }
    }
}

impl From<LoadError> for Refusal {
    fn from(e: LoadError) -> Self {
        let kind = if let LoadError::Call { kind, .. } = &e { *kind } else { None };
        Self { kind, message: e.to_string() }
    }
}

impl From<PluginError> for Refusal {
    fn from(e: PluginError) -> Self {
        Self { kind: Some(e.kind), message: e.message }
    }
}

/// Opens an instance with settings and gives it all items, so many at a time.
pub(crate) type Exercise = fn(&Plugin, &spec::Node, &Value, CallContext, &Items, usize) -> Result<Answers, Refusal>;

const EXERCISES: [(Kind, Exercise); 5] = [
    (Kind::Captioner, captioner::exercise),
    (Kind::DatasetSource, dataset_source::exercise),
    (Kind::TagFilter, tag_filter::exercise),
    (Kind::Evaluator, evaluator::exercise),
    (Kind::Node, node::exercise),
];

/// One node of a plugin with what it takes to try it.
pub(crate) struct Subject<'a> {
    pub(crate) plugin: &'a Plugin,
    pub(crate) node: &'a spec::Node,
    pub(crate) exercise: Exercise,
    pub(crate) settings: Vec<Value>,
    pub(crate) folders: BTreeMap<String, PathBuf>,
}

impl Subject<'_> {
    pub(crate) fn call(&self) -> CallContext {
        CallContext { folders: self.folders.clone(), seed: 7, ..CallContext::default() }
    }

    pub(crate) fn run(
        &self,
        settings: &Value,
        call: CallContext,
        items: &Items,
        step: usize,
    ) -> Result<Answers, Refusal> {
        (self.exercise)(self.plugin, self.node, settings, call, items, step)
    }
}

/// The host that a plugin is tested in.
pub struct Bench<'a> {
    /// A native library runs in this process, with all rights and without limits, so it is only tested when asked for.
    pub form: Form,
    /// Keeps what was compiled.
    pub cache: &'a Path,
    /// Runs the models that the plugin asks for.
    pub inference: Option<Arc<dyn data::Inference>>,
    /// Compiles large components; none: this process does.
    pub compiler: Option<loader::Compiler>,
}

/// Tests what lies in `built`: a folder with `plugin.toml` and artefacts.
///
/// # Errors
/// The plugin does not load, or the suite itself cannot work.
pub fn run(built: &Path, setup: &Setup, bench: &Bench<'_>) -> Result<Report> {
    let dir = tempfile::tempdir()?;
    let plugin = load(built, dir.path(), bench)?;
    let pictures = dir.path().join("pictures");
    items::write_folder(&pictures)?;
    let mut folders = setup.folders.clone();
    for name in folder_names(built)? {
        folders.entry(name).or_insert_with(|| pictures.clone());
    }
    let unknown = setup.settings.keys().find(|id| !plugin.info().nodes.iter().any(|n| n.id == **id));
    if let Some(id) = unknown {
        let known: Vec<&str> = plugin.info().nodes.iter().map(|n| n.id.as_str()).collect();
        bail!("{FILE}: no node `{id}`; known are {}", known.join(", "));
    }
    let mut findings = Vec::new();
    for node in &plugin.info().nodes {
        let exercise = EXERCISES.iter().find(|(kind, _)| *kind == node.role).context("a kind without a suite")?.1;
        let settings = match setup.settings.get(&node.id) {
            None => vec![settings::defaults(node, folders.keys().next().map(String::as_str))],
            Some(Value::Array(several)) => several.clone(),
            Some(one) => vec![one.clone()],
        };
        ensure!(
            !settings.is_empty() && settings.iter().all(Value::is_object),
            "{FILE}: {}: expected an object of settings, or several in a list",
            node.id
        );
        let subject = Subject { plugin: &plugin, node, exercise, settings, folders: folders.clone() };
        for (check, f) in checks::CHECKS {
            findings.push(Finding { node: node.id.clone(), check, outcome: f(&subject) });
        }
    }
    Ok(Report { plugin: plugin.name(), findings })
}

/// Loads the plugin from a copy, with nothing granted that it did not ask for.
fn load(built: &Path, dir: &Path, bench: &Bench<'_>) -> Result<Arc<Plugin>> {
    let folder = dir.join("plugins/tested");
    std::fs::create_dir_all(&folder)?;
    let entries = std::fs::read_dir(built)
        .with_context(|| format!("{}: not there; `anagama plugin build` makes it", built.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            std::fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
        }
    }
    let manifest = loader::Manifest::read(&folder)?;
    let config = LoaderConfig {
        plugin_dirs: vec![dir.join("plugins")],
        cache_dir: bench.cache.to_owned(),
        lock_file: dir.join("lock.json"),
        prefer_native: bench.form == Form::Native,
        inference: bench.inference.clone(),
        compiler: bench.compiler.clone(),
        ..LoaderConfig::default()
    };
    match bench.form {
        Form::Native => drop(loader::approve(&config.lock_file, &folder)?),
        Form::Wasm if manifest.component.is_none() => bail!(
            "{}: a native library only, which runs with all your rights: say --native to test it in this process",
            manifest.id
        ),
        Form::Wasm => {}
    }
    let loader = Loader::new(config)?;
    if let Some(problem) = loader.problems().into_iter().next() {
        return Err(problem.into());
    }
    Ok(loader.plugin(&manifest.id)?)
}

fn folder_names(built: &Path) -> Result<Vec<String>> {
    Ok(loader::Manifest::read(built)?.requests.folders)
}

/// A short form of settings for messages.
pub(crate) fn shown(settings: &Value) -> String {
    let text = settings.to_string();
    if text.chars().count() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
}

pub(crate) type Object = Map<String, Value>;

//! Wires the host together: plugins, models, store, nodes, engine.

use crate::config::{Config, Places};
use crate::device::Device;
use crate::exit::{Fail, invalid};
use anyhow::Context;
use engine::{Engine, History, Node, Registry, Services};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Plugins and nodes: what `check`, `nodes` and `plugins` need, and `run` begins with.
pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) places: Places,
    pub(crate) models: nodes::ModelDirs,
    pub(crate) loader: Arc<loader::Loader>,
    pub(crate) registry: Registry,
    /// What all graphs of this process share.
    pub(crate) shared: nodes::Shared,
}

/// The models that plugins ask for.
pub(crate) fn models(config: &Config, own: nodes::OwnNetworks) -> inference::Registry {
    let models = inference::Registry::new(config.models.clone()).with_networks(Arc::new(own));
    match &config.onnxruntime {
        Some(library) => models.with_onnxruntime(library.clone()),
        None => models,
    }
}

/// What one run adds.
pub(crate) struct RunFolders {
    pub(crate) out: PathBuf,
    pub(crate) input: PathBuf,
    pub(crate) store: Option<PathBuf>,
    pub(crate) device: Device,
}

impl Host {
    /// Reads the configuration and finds the plugins. Broken plugins are said on stderr and hide no others.
    pub(crate) fn open(named: Option<&Path>, workflow: Option<&Path>, prefer_native: bool) -> Result<Self, Fail> {
        let places = Places::from_env()?;
        let config = Config::find(named, workflow, &places).map_err(invalid)?;
        match &config.file {
            Some(file) => tracing::info!("configuration: {}", file.display()),
            None => tracing::info!("no {} found; using defaults", crate::config::FILE_NAME),
        }
        let shared = nodes::Shared::with_budget(config.memory);
        let own = nodes::OwnNetworks::of(&shared);
        let inference = models(&config, own);
        let loader = loader::Loader::new(loader::LoaderConfig {
            prefer_native: prefer_native || config.prefer_native,
            inference: Some(Arc::new(inference)),
            ..loader_config(&config)
        })
        .context("plugins could not be looked for")?;
        let loader = Arc::new(loader);
        for problem in loader.problems() {
            eprintln!("warning: {problem}");
        }
        let registry = Registry::new(all_nodes(&loader));
        let models = nodes::ModelDirs::new(config.models.clone());
        let mut host = Self { config, places, models: nodes::ModelDirs::default(), loader, registry, shared };
        host.set_models(models);
        Ok(host)
    }

    /// Looks for models there, instead of in the configured folders.
    pub(crate) fn set_models(&mut self, models: nodes::ModelDirs) {
        let lists = models.clone();
        self.registry = std::mem::take(&mut self.registry).with_lists(Arc::new(move |name| lists.list(name)));
        self.models = models;
    }

    /// The nodes with what plugins there are now.
    pub(crate) fn registry_now(&self) -> Registry {
        let lists = self.models.clone();
        Registry::new(all_nodes(&self.loader)).with_lists(Arc::new(move |name| lists.list(name)))
    }

    /// Takes this many bytes for working copies of weights, instead of the configured number.
    pub(crate) fn set_memory(&mut self, bytes: usize) {
        self.shared = self.shared.limited(bytes);
    }

    /// An engine for one workflow, with the durations of earlier runs.
    pub(crate) fn engine(&self, folders: RunFolders, workflow: serde_json::Value) -> Result<RunEngine, Fail> {
        let root = folders.store.map_or_else(|| self.config.store.clone(), |s| self.places.current.join(s));
        let store = data::Store::open(&root).with_context(|| format!("store {}", root.display()))?;
        let store = Arc::new(store);
        let out = self.places.current.join(folders.out);
        std::fs::create_dir_all(&out).with_context(|| format!("output folder {} cannot be made", out.display()))?;
        let mut host =
            nodes::Host::new(self.models.clone(), out, folders.input, store.clone(), self.loader.clone(), workflow)
                .sharing(self.shared.clone())
                .with_clock(crate::clock::now);
        if folders.device == Device::Cuda {
            host = host.on_gpu()?;
        }
        let cache = nodes::result_cache(store);
        let durations = root.join("durations.json");
        let history = std::fs::read(&durations).ok().and_then(|b| serde_json::from_slice::<History>(&b).ok());
        let mut engine = Engine::new(self.registry.clone(), Services::new().with(host), Some(cache))
            .with_history(history.unwrap_or_default());
        if let Some(threads) = self.config.threads {
            engine = engine.with_threads(threads);
        }
        Ok(RunEngine { engine, durations })
    }
}

/// Where plugins are and what they may do, without models.
pub(crate) fn loader_config(config: &Config) -> loader::LoaderConfig {
    loader::LoaderConfig {
        plugin_dirs: config.plugins.clone(),
        cache_dir: config.cache.clone(),
        lock_file: config.lock.clone(),
        grants: config.grants.clone(),
        prefer_native: config.prefer_native,
        limits: config.limits,
        inference: None,
        env: Arc::new(|name| std::env::var(name).ok()),
        native: config.native,
        #[cfg(unix)]
        runner: this_program().map(|program| loader::Runner { program, arguments: vec!["native-runner".to_owned()] }),
        compiler: crate::compiler::compiler(),
    }
}

/// The program that is running, even if its file was replaced meanwhile, where the system knows it.
#[cfg(unix)]
fn this_program() -> Option<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() { Some(own) } else { std::env::current_exe().ok() }
}

fn all_nodes(loader: &Arc<loader::Loader>) -> Vec<Arc<dyn Node>> {
    let mut all = nodes::builtin();
    all.extend(nodes::plugin_nodes(loader));
    all
}

/// An engine that remembers durations in a file.
pub(crate) struct RunEngine {
    pub(crate) engine: Engine,
    durations: PathBuf,
}

impl RunEngine {
    pub(crate) fn keep_durations(&self) {
        keep_durations(&self.engine, &self.durations);
    }
}

/// Durations only make estimates better, so nobody is bothered if they cannot be kept.
pub(crate) fn keep_durations(engine: &Engine, file: &Path) {
    let keep = || -> anyhow::Result<()> {
        let part = file.with_extension(format!("json.{}", std::process::id()));
        let written = std::fs::write(&part, serde_json::to_vec(&engine.history())?);
        Ok(written.and_then(|()| std::fs::rename(&part, file)).inspect_err(|_| {
            // Half of it is of no use.
            let _ = std::fs::remove_file(&part);
        })?)
    };
    if let Err(error) = keep() {
        tracing::info!("{}: {error:#}", file.display());
    }
}

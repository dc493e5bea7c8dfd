//! The host as the server sees it.

use crate::device::Device;
use crate::exit::Fail;
use crate::host::Host;
use anyhow::Context as _;
use engine::{CachePolicy, Engine, Registry, ResultCache, Services};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a server's jobs read and write.
pub(crate) struct Folders {
    pub(crate) out: PathBuf,
    pub(crate) input: PathBuf,
    pub(crate) temp: PathBuf,
    pub(crate) store: PathBuf,
}

/// How often the durations of nodes are written.
const KEEP_DURATIONS: Duration = Duration::from_secs(20);

/// One engine for all jobs.
pub(crate) struct ServeHost {
    host: Host,
    folders: Folders,
    device: Device,
    store: Arc<data::Store>,
    engine: Engine,
    durations: PathBuf,
    kept: Mutex<Option<Instant>>,
    nodes: Mutex<Nodes>,
}

/// The nodes as they were when somebody asked last.
struct Nodes {
    registry: Arc<Registry>,
    /// Of the loader's plugins.
    generation: u64,
    looked: Option<Instant>,
}

/// How often the folders of plugins are looked at while somebody asks.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

impl ServeHost {
    pub(crate) fn new(host: Host, folders: Folders, device: Device, cache: CachePolicy) -> Result<Self, Fail> {
        let store = data::Store::open(&folders.store).with_context(|| format!("store {}", folders.store.display()))?;
        let store = Arc::new(store);
        let durations = folders.store.join("durations.json");
        let history = std::fs::read(&durations).ok().and_then(|b| serde_json::from_slice(&b).ok());
        let results: Arc<dyn ResultCache> = nodes::result_cache(store.clone());
        let mut engine = Engine::new(host.registry.clone(), Services::new(), Some(results))
            .with_history(history.unwrap_or_default())
            .with_cache(cache);
        if let Some(threads) = host.config.threads {
            engine = engine.with_threads(threads);
        }
        let nodes =
            Nodes { registry: Arc::new(host.registry.clone()), generation: host.loader.generation(), looked: None };
        let (kept, nodes) = (Mutex::new(None), Mutex::new(nodes));
        Ok(Self { host, folders, device, store, engine, durations, kept, nodes })
    }
}

impl Drop for ServeHost {
    fn drop(&mut self) {
        crate::host::keep_durations(&self.engine, &self.durations);
    }
}

impl server::Host for ServeHost {
    fn registry(&self) -> Arc<Registry> {
        let mut nodes = self.nodes.lock();
        if nodes.looked.is_none_or(|at| at.elapsed() > LOOK_AGAIN) {
            nodes.looked = Some(Instant::now());
            if let Err(e) = self.host.loader.refresh() {
                tracing::error!("plugins: {e}");
            }
            let generation = self.host.loader.generation();
            if nodes.generation != generation {
                nodes.generation = generation;
                nodes.registry = Arc::new(self.host.registry_now());
                tracing::info!("plugins changed: their nodes are up to date");
            }
        }
        nodes.registry.clone()
    }

    fn engine(&self, job: &server::Job<'_>) -> anyhow::Result<Engine> {
        let extra = job.extra_pnginfo.as_object().cloned().unwrap_or_default();
        let mut host = nodes::Host::new(
            self.host.models.clone(),
            self.folders.out.clone(),
            self.folders.input.clone(),
            self.store.clone(),
            self.host.loader.clone(),
            job.prompt.clone(),
        )
        .sharing(self.host.shared.clone())
        .with_clock(crate::clock::now)
        .with_previews(nodes::PreviewMethod::named(job.preview_method).unwrap_or_default())
        .serving(self.folders.temp.clone(), extra);
        if self.device == Device::Cuda {
            host = host.on_gpu()?;
        }
        Ok(self.engine.with_services(Services::new().with(host)))
    }

    /// Durations are worth little, and a long queue of short jobs must not wait for them.
    fn finished(&self) {
        let mut kept = self.kept.lock();
        if kept.is_none_or(|at| at.elapsed() > KEEP_DURATIONS) {
            *kept = Some(Instant::now());
            crate::host::keep_durations(&self.engine, &self.durations);
        }
    }

    /// Loaded models live as long as results that use them, so both wishes are one.
    fn free(&self, _unload_models: bool, _free_memory: bool) {
        self.engine.forget();
    }

    fn devices(&self) -> Vec<server::Device> {
        let (total, free) = self.memory();
        let name = match self.device {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda:0",
        };
        let kind = name.split(':').next().unwrap_or(name).to_owned();
        vec![server::Device { name: name.to_owned(), kind, total, free }]
    }

    fn memory(&self) -> (u64, u64) {
        crate::machine::memory().map_or((0, 0), |memory| (memory.total, memory.available))
    }

    fn model_folders(&self) -> Vec<(String, Vec<PathBuf>)> {
        let models = &self.host.models;
        models.kinds().into_iter().map(|kind| (kind.clone(), models.folders(&kind))).collect()
    }

    fn models(&self, kind: &str) -> Vec<String> {
        self.host.models.list(kind)
    }

    fn plugins(&self) -> Vec<server::Plugin> {
        let plugins = self.host.loader.plugins();
        let one = |p: &loader::Plugin| server::Plugin {
            id: p.id().to_owned(),
            version: p.version().to_owned(),
            title: p.info().title.clone(),
            description: p.info().description.clone(),
            nodes: p.info().nodes.iter().map(|n| n.id.clone()).collect(),
        };
        plugins.iter().map(|p| one(p)).collect()
    }
}

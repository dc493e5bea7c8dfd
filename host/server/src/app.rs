//! What all connections share.

use crate::config::Config;
use crate::host::Host;
use crate::jobs::Jobs;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::object_info::ObjectInfo;
use crate::run::{Runner, Running, messages};
use crate::security::Guard;
use crate::ws::{Frame, Hub};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Semaphore;

pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) jobs: Jobs,
    pub(crate) hub: Hub,
    pub(crate) runner: Runner,
    pub(crate) running: Running,
    pub(crate) metrics: Metrics,
    pub(crate) logs: Logs,
    pub(crate) guard: Guard,
    pub(crate) object_info: ObjectInfo,
    /// How many KiB of request bodies may be in memory at once.
    pub(crate) bodies: Arc<Semaphore>,
}

/// See [`App::bodies`].
pub(crate) const BODIES_KIB: usize = 512 << 10;

/// The release of ComfyUI whose protocol this is; clients compare it.
pub(crate) const COMFYUI_VERSION: &str = "0.38.0";

impl App {
    pub(crate) fn new(config: Config, host: Arc<dyn Host>, jobs: Jobs) -> anyhow::Result<Self> {
        let runner = Runner::default();
        if jobs.setting("paused")?.as_deref() == Some("1") {
            runner.set_paused(true);
        }
        Ok(Self {
            guard: Guard::new(&config),
            config,
            host,
            jobs,
            hub: Hub::default(),
            runner,
            running: Running::default(),
            metrics: Metrics::default(),
            logs: Logs::default(),
            object_info: ObjectInfo::default(),
            bodies: Arc::new(Semaphore::new(BODIES_KIB)),
        })
    }

    /// Says to everybody how many jobs are left.
    pub(crate) fn tell_status(&self) {
        let text = messages::status(self.jobs.remaining(), None);
        self.hub.broadcast(&Frame::Text(text.into()));
    }

    /// What clients may expect of this server.
    pub(crate) fn features(&self) -> Value {
        json!({
            "supports_preview_metadata": true,
            "max_upload_size": self.config.max_upload,
            "supports_model_type_tags": false,
            "extension": { "manager": { "supports_v4": false } },
            "node_replacements": false,
            "assets": false,
        })
    }
}

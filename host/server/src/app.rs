//! What all connections share.

use crate::config::Config;
use crate::host::Host;
use crate::jobs::Jobs;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::object_info::ObjectInfo;
use crate::room::Room;
use crate::run::{Runner, Running, messages};
use crate::security::Guard;
use crate::ws::{Frame, Hub};
use engine::Level;
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
    pub(crate) room: Room,
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
            room: Room::new(&[&config.output_dir, &config.temp_dir, &config.user_dir]),
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

    /// Something could not be written. The jobs that wait are not spent on a full disk.
    pub(crate) fn ran_out_of_room(&self, why: &str) {
        if self.room.ran_out(why) {
            self.logs.say(Level::Error, None, &format!("{why}: jobs wait until there is room"));
        }
    }

    /// Can the next job write? Looks only where one could not.
    pub(crate) fn has_room(&self) -> bool {
        if self.room.short().is_none() && !self.jobs.is_short() {
            return true;
        }
        match self.room.look().and_then(|()| self.jobs.keep_room()) {
            Ok(()) => {
                self.room.came_back();
                self.logs.say(Level::Info, None, "there is room again: jobs go on");
                true
            }
            Err(error) => {
                self.ran_out_of_room(&format!("{error:#}"));
                false
            }
        }
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

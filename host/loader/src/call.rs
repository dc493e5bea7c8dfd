//! What the host tells a plugin about the run it is part of, and how much it may use.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How important a plugin's log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Receives `(done, total, message)`.
pub type ProgressFn = Arc<dyn Fn(u64, Option<u64>, &str) + Send + Sync>;

/// Receives a log line.
pub type LogFn = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// The running job, as far as a plugin may see it.
#[derive(Clone)]
pub struct CallContext {
    /// Receives the plugin's progress.
    pub progress: ProgressFn,
    /// Answers whether the run was cancelled; asked at least every 10 ms while a component runs.
    pub cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Receives the plugin's log lines.
    pub log: LogFn,
    /// Seed of the graph node.
    pub seed: u64,
    /// Folders that this run grants, by the root name that the plugin uses. Read-only.
    pub folders: BTreeMap<String, PathBuf>,
    /// Instead of the loader's limits.
    pub limits: Option<Limits>,
}

impl Default for CallContext {
    /// No progress, no log, never cancelled, seed 0, no folders.
    fn default() -> Self {
        Self {
            progress: Arc::new(|_, _, _| {}),
            cancelled: Arc::new(|| false),
            log: Arc::new(|_, _| {}),
            seed: 0,
            folders: BTreeMap::new(),
            limits: None,
        }
    }
}

/// What one plugin instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall time of one call, host calls included.
    pub deadline: Duration,
    /// Bytes of linear memory of one instance.
    pub memory: u64,
    /// Open images, tensors, sessions and handles of one instance.
    pub handles: usize,
    /// Bytes of images and tensors that one instance makes the host hold.
    pub host_bytes: u64,
    /// Bytes of one HTTP answer or of one file read.
    pub transfer: u64,
}

impl Default for Limits {
    /// 30 s, 256 MiB of memory, 10,000 handles, 1 GiB of images and tensors, 64 MiB a transfer.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            memory: 256 << 20,
            handles: 10_000,
            host_bytes: 1 << 30,
            transfer: 64 << 20,
        }
    }
}

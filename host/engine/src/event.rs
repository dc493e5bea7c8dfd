//! What a run tells while it runs.

use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Which node an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeRef {
    pub id: Arc<str>,
    pub class_type: Arc<str>,
    /// The user's name for the node, if the workflow has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Arc<str>>,
}

impl std::fmt::Display for NodeRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} ({})", self.id, self.class_type)
    }
}

/// How far the whole run is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RunProgress {
    /// Nodes that are over: finished, failed, or not run because another failed.
    pub done: usize,
    /// Nodes that this run has to run.
    pub total: usize,
    /// 0 to 1, weighted by how long the nodes took before.
    pub fraction: f64,
    /// Seconds left; none while a node is waiting whose duration is unknown.
    pub eta: Option<f64>,
}

/// Where a cached result came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheLevel {
    Memory,
    Store,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// One thing that happened. Times are in seconds.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The caches have been asked; `run` nodes will run, `cached` come from a cache, `not_needed` are behind those.
    RunStarted {
        run: usize,
        cached: usize,
        not_needed: usize,
    },
    NodeCached {
        node: NodeRef,
        from: CacheLevel,
        ui: Map<String, Value>,
    },
    NodeStarted {
        node: NodeRef,
        overall: RunProgress,
    },
    Progress {
        node: NodeRef,
        done: u64,
        total: u64,
        message: String,
        eta: Option<f64>,
        overall: RunProgress,
    },
    /// A picture of the work so far, as PNG.
    Preview {
        node: NodeRef,
        #[serde(skip)]
        png: Arc<[u8]>,
    },
    /// `node` is none for lines of the engine itself.
    Log {
        node: Option<NodeRef>,
        level: Level,
        message: String,
    },
    NodeFinished {
        node: NodeRef,
        seconds: f64,
        ui: Map<String, Value>,
        overall: RunProgress,
    },
    /// `message` begins with the node.
    NodeFailed {
        node: NodeRef,
        message: String,
        overall: RunProgress,
    },
    /// Not run, because the node `by` failed.
    NodeBlocked {
        node: NodeRef,
        by: NodeRef,
    },
}

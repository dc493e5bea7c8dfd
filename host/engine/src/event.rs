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
    /// For a node that the workflow does not have: where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Arc<Origin>>,
}

/// Where a node of an expansion came from; all are ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// The node that a front end shows in its place.
    pub display: Arc<str>,
    /// The node that expanded.
    pub parent: Arc<str>,
    /// The node of the workflow that all this stands for.
    pub real: Arc<str>,
}

impl NodeRef {
    /// A node of the workflow.
    pub fn new(id: impl Into<Arc<str>>, class_type: impl Into<Arc<str>>) -> Self {
        Self { id: id.into(), class_type: class_type.into(), title: None, origin: None }
    }

    /// The id of the node that a front end shows for this one.
    pub fn display(&self) -> &Arc<str> {
        self.origin.as_ref().map_or(&self.id, |o| &o.display)
    }

    /// The id of the node whose expansion this one is part of.
    pub fn parent(&self) -> Option<&Arc<str>> {
        self.origin.as_ref().map(|o| &o.parent)
    }

    /// The id of the node of the workflow that this one belongs to.
    pub fn real(&self) -> &Arc<str> {
        self.origin.as_ref().map_or(&self.id, |o| &o.real)
    }
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

/// Why a node failed, for programs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeError {
    /// Without the node's name.
    pub message: String,
    /// ComfyUI's `exception_type`: `RuntimeError` unless the node [raised](crate::Raised) another.
    pub kind: String,
    /// The causes, outermost first.
    pub traceback: Vec<String>,
    /// The inputs as short JSON, a list each.
    pub inputs: Map<String, Value>,
    /// Was there [no room](crate::no_room) to write something?
    pub no_room: bool,
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
    /// All nodes of the plan whose results are at hand, needed or not.
    Cached {
        nodes: Vec<Arc<str>>,
    },
    NodeCached {
        node: NodeRef,
        from: CacheLevel,
        ui: Map<String, Value>,
    },
    /// Comes again when a node that takes lazy inputs goes on.
    NodeStarted {
        node: NodeRef,
        overall: RunProgress,
    },
    /// `value` and `max` are `done` and `total` with their fractions.
    Progress {
        node: NodeRef,
        done: u64,
        total: u64,
        value: f64,
        max: f64,
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
    /// Something to read at the node while it runs.
    Text {
        node: NodeRef,
        text: String,
    },
    /// `node` is none for lines of the engine itself.
    Log {
        node: Option<NodeRef>,
        level: Level,
        message: String,
    },
    /// A call of the node did not happen because an input blocked it, with this message. The run goes on.
    Blocked {
        node: NodeRef,
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
        error: NodeError,
        overall: RunProgress,
    },
    /// Not run, because the node `by` failed.
    NodeBlocked {
        node: NodeRef,
        by: NodeRef,
    },
    /// Stopped while it ran.
    NodeCancelled {
        node: NodeRef,
    },
}

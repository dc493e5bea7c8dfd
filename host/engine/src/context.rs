//! What a node sees of the run it is part of.

use crate::{CacheLevel, Level, NodeError, NodeRef, Outputs, RunOptions, Services};
use parking_lot::Mutex;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Progress goes out at most this often per node; the last step always does.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// Asks a run to stop. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    own: Arc<AtomicBool>,
    /// That of the whole run, if this one is of a part.
    whole: Option<Arc<AtomicBool>>,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop at its next step.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// Has somebody asked?
    pub fn is_cancelled(&self) -> bool {
        self.own.load(Ordering::Relaxed) || self.whole.as_ref().is_some_and(|w| w.load(Ordering::Relaxed))
    }

    /// A token that is cancelled with this one, but can be cancelled alone.
    pub(crate) fn part(&self) -> Self {
        Self { own: Arc::default(), whole: Some(self.own.clone()) }
    }
}

/// The error of a node that stopped because it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub struct Cancelled;

/// What goes from a node's thread to the thread that reports.
pub(crate) enum Told {
    Started,
    Progress {
        value: f64,
        max: f64,
        message: String,
    },
    Preview(Arc<[u8]>),
    Text(String),
    Log(Level, String),
    /// A blocker's message.
    Blocked(String),
    /// An equal node ran meanwhile, or the store had the result of a node that an expansion needs.
    Cached {
        from: CacheLevel,
        outputs: Arc<Outputs>,
    },
    /// These nodes are new, and have the next indices; does each run?
    Added(Vec<NodeRef>),
    /// This node has to run after all.
    Needed,
    Over(Over),
    WorkerCame,
    WorkerLeft,
}

/// How a node ended.
pub(crate) enum Over {
    Finished {
        seconds: f64,
        ui: serde_json::Map<String, serde_json::Value>,
    },
    Failed {
        message: String,
        error: NodeError,
    },
    Cancelled,
    /// Never ran, because the node with this index failed.
    Blocked {
        by: usize,
    },
}

/// A node's connection to its run. Cheap to clone, so that callbacks can hold one.
#[derive(Clone)]
pub struct Context {
    /// The node's id in the workflow.
    pub node_id: String,
    /// The node's class.
    pub class_type: String,
    pub(crate) signature: String,
    pub(crate) services: Arc<Services>,
    pub(crate) cancel: CancelToken,
    pub(crate) sink: Option<(usize, Sender<(usize, Told)>)>,
    pub(crate) options: Arc<RunOptions>,
    last_progress: Arc<Mutex<Option<Instant>>>,
    /// Which call over a list this is, and how many graphs it has built.
    call: usize,
    graphs: Arc<AtomicUsize>,
}

impl Context {
    pub(crate) fn new(node_id: &str, class_type: &str, services: Arc<Services>, cancel: CancelToken) -> Self {
        Self {
            node_id: node_id.to_owned(),
            class_type: class_type.to_owned(),
            signature: String::new(),
            services,
            cancel,
            sink: None,
            options: Arc::default(),
            last_progress: Arc::default(),
            call: 0,
            graphs: Arc::default(),
        }
    }

    /// A context outside of any run, for tests of single nodes: what it is told goes nowhere.
    pub fn detached(services: Services) -> Self {
        Self::new("0", "detached", Arc::new(services), CancelToken::new())
    }

    /// A context of the same node that shows nothing of its work; it can still be cancelled.
    pub fn silent(&self) -> Self {
        Self { sink: None, ..self.clone() }
    }

    /// The context of one call over a list.
    pub(crate) fn for_call(&self, index: usize) -> Self {
        Self { call: index, graphs: Arc::default(), ..self.clone() }
    }

    /// Which call of the node this is, counted from 0: there is one for each item of a list.
    pub fn call_index(&self) -> usize {
        self.call
    }

    /// What the ids of the next graph of this call begin with; see [`spec::GraphBuilder`].
    pub fn graph_prefix(&self) -> String {
        format!("{}.{}.{}.", self.node_id, self.call, self.graphs.fetch_add(1, Ordering::Relaxed))
    }

    /// What the front end wants saved in pictures; null if it sent nothing.
    pub fn extra_pnginfo(&self) -> &serde_json::Value {
        &self.options.extra_pnginfo
    }

    /// The workflow in API form as it was sent; null if the caller did not say.
    pub fn prompt(&self) -> &serde_json::Value {
        &self.options.prompt
    }

    /// Step `done` of `total` is over. May be called at every step: what is too frequent is dropped.
    pub fn progress(&self, done: u64, total: u64, message: &str) {
        self.progress_of(done as f64, total as f64, message);
    }

    /// [`Context::progress`] for what is not counted in steps, such as seconds.
    pub fn progress_of(&self, value: f64, max: f64, message: &str) {
        if self.sink.is_none() {
            return;
        }
        let mut last = self.last_progress.lock();
        if value < max && last.is_some_and(|at| at.elapsed() < PROGRESS_INTERVAL) {
            return;
        }
        *last = Some(Instant::now());
        self.tell(Told::Progress { value, max, message: message.to_owned() });
    }

    /// [`Context::progress`] for long steps, of which each is shown.
    pub fn step(&self, done: u64, total: u64, message: &str) {
        *self.last_progress.lock() = None;
        self.progress(done, total, message);
    }

    /// Shows a text at the node.
    pub fn text(&self, text: &str) {
        self.tell(Told::Text(text.to_owned()));
    }

    /// Shows a picture of the work so far, as PNG.
    pub fn preview(&self, png: impl Into<Arc<[u8]>>) {
        self.tell(Told::Preview(png.into()));
    }

    /// Says something to whoever watches the run.
    pub fn log(&self, level: Level, message: &str) {
        self.tell(Told::Log(level, message.to_owned()));
    }

    /// Has somebody asked the run to stop?
    pub fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// # Errors
    /// [`Cancelled`] if somebody asked the run to stop.
    pub fn check_cancelled(&self) -> anyhow::Result<()> {
        if self.cancelled() { Err(Cancelled.into()) } else { Ok(()) }
    }

    /// The token behind [`Context::cancelled`].
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// What the host lends.
    ///
    /// # Panics
    /// If the host has no such service: a fault of its wiring, which the engine reports as this node's failure.
    pub fn services<T: Any + Send + Sync>(&self) -> &T {
        self.services.require()
    }

    /// What the host lends, if it does.
    pub fn service<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.services.get()
    }

    /// The identity of this execution, in hex: equal for equal class, constants, files and ancestors, in any process.
    /// Names directories of state that an interrupted run resumes from. Empty while the fingerprint is taken.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    pub(crate) fn tell(&self, what: Told) {
        if let Some((node, sink)) = &self.sink {
            // The receiver is gone once the run is over; a thread that a node left behind may still talk.
            let _ = sink.send((*node, what));
        }
    }
}

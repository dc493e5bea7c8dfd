//! The job that runs now, for whoever asks or wants it stopped.

use super::messages;
use engine::CancelToken;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// At most one job.
#[derive(Default)]
pub(crate) struct Running(Mutex<Option<Current>>);

struct Current {
    id: String,
    client: Option<String>,
    cancel: CancelToken,
    /// The node that runs, and its display id.
    node: Option<(String, String)>,
    progress: Value,
}

impl Running {
    pub(super) fn begin(&self, id: &str, client: Option<&str>) -> CancelToken {
        let cancel = CancelToken::new();
        *self.0.lock() = Some(Current {
            id: id.to_owned(),
            client: client.map(str::to_owned),
            cancel: cancel.clone(),
            node: None,
            progress: Value::Null,
        });
        cancel
    }

    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    pub(super) fn at(&self, node: Option<(String, String)>) {
        if let Some(current) = self.0.lock().as_mut() {
            current.node = node;
        }
    }

    pub(super) fn progress(&self, progress: Value) {
        if let Some(current) = self.0.lock().as_mut() {
            current.progress = progress;
        }
    }

    /// Stops the job, if it is this one, or whichever it is. Says whether there was something to stop.
    pub(crate) fn interrupt(&self, id: Option<&str>) -> bool {
        match self.0.lock().as_ref() {
            Some(current) if id.is_none_or(|id| id == current.id) => {
                current.cancel.cancel();
                true
            }
            _ => false,
        }
    }

    /// What a client that comes back has to know.
    pub(crate) fn resume_for(&self, client: &str) -> Vec<String> {
        let current = self.0.lock();
        let Some(current) = current.as_ref().filter(|c| c.client.as_deref() == Some(client)) else { return Vec::new() };
        let node = current.node.as_ref().map(|(id, display)| (id.as_str(), display.as_str()));
        node.map(|node| messages::executing(&current.id, Some(node))).into_iter().collect()
    }

    /// For the page: which job, which node, how far.
    pub(crate) fn describe(&self) -> Value {
        match self.0.lock().as_ref() {
            None => Value::Null,
            Some(c) => json!({ "id": c.id, "node": c.node.as_ref().map(|n| &n.1), "progress": c.progress }),
        }
    }
}

//! What a run's events mean to clients and to the history.

use super::{Running, messages};
use crate::app::App;
use crate::jobs::{Outcome, State, Ticket};
use crate::ui_output;
use crate::ws::{self, Frame};
use engine::{Event, NodeError, NodeRef, RunReport};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The states of all nodes go out at most this often: each message repeats them all.
pub(super) const STATES_INTERVAL: Duration = Duration::from_millis(50);
/// Runs with so few nodes send every state at once.
const FEW: usize = 16;
/// Follows one run.
pub(super) struct View {
    app: Arc<App>,
    id: String,
    client: Option<String>,
    /// Does the client want pictures of the work so far?
    previews: bool,
    /// Nodes that are not pending, in the order in which they began.
    states: Map<String, Value>,
    sent: Option<Instant>,
    dirty: bool,
    messages: Vec<Value>,
    outputs: Map<String, Value>,
    meta: Map<String, Value>,
    /// Ids of the nodes that ran to their end.
    ran: Vec<String>,
    error: Option<Value>,
    /// The error, if it is that something could not be written for want of room.
    no_room: Option<String>,
    current: Option<NodeRef>,
}

impl View {
    pub(super) fn new(app: Arc<App>, ticket: &Ticket) -> Self {
        let previews = app.config.preview_method(&ticket.extra) != "none";
        Self {
            app,
            id: ticket.id.clone(),
            client: ticket.client.clone(),
            previews,
            states: Map::new(),
            sent: None,
            dirty: false,
            messages: Vec::new(),
            outputs: Map::new(),
            meta: Map::new(),
            ran: Vec::new(),
            error: None,
            no_room: None,
            current: None,
        }
    }

    fn running(&self) -> &Running {
        &self.app.running
    }

    fn send(&self, frame: Frame) {
        self.app.hub.send(self.client.as_deref(), frame);
    }

    fn tell(&self, kind: &str, data: &Value) {
        self.send(Frame::Text(messages::message(kind, data).into()));
    }

    /// Tells it and keeps it for the history.
    fn record(&mut self, kind: &str, data: Map<String, Value>) -> Value {
        let data = messages::stamped(&self.id, data);
        self.tell(kind, &data);
        self.messages.push(json!([kind, data]));
        data
    }

    pub(super) fn start(&mut self) {
        self.record("execution_start", Map::new());
    }

    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::RunStarted { .. } => {}
            Event::Cached { nodes } => {
                self.record("execution_cached", Map::from_iter([("nodes".to_owned(), json!(nodes))]));
            }
            Event::NodeCached { node, ui, .. } => {
                self.states.insert(node.id.to_string(), self.state_json(&node, "finished", 1.0, 1.0));
                self.executed(&node, &ui);
            }
            Event::NodeStarted { node, .. } => self.started(&node),
            Event::Progress { node, done, total, value, max, message, overall, eta } => {
                self.state(&node, "running", value, max);
                let (value, max) = (whole(value), whole(max));
                let data = json!({ "value": value, "max": max, "prompt_id": self.id, "node": &*node.id });
                let text = messages::message("progress", &data).into();
                self.send(Frame::Latest { key: format!("progress {}", node.id).into(), text });
                if !message.is_empty() {
                    self.text(&node, &message);
                }
                self.running().progress(json!({
                    "value": done, "max": total, "message": message, "eta": eta, "overall": overall,
                }));
            }
            Event::Preview { node, png } if self.previews => self.preview(&node, &png),
            Event::Preview { .. } => {}
            Event::Text { node, text } => self.text(&node, &text),
            Event::Log { node, level, message } => self.app.logs.say(level, node.as_ref(), &message),
            Event::NodeFinished { node, ui, .. } => {
                self.state(&node, "finished", 1.0, 1.0);
                self.ran.push(node.id.to_string());
                self.executed(&node, &ui);
            }
            Event::NodeFailed { node, error, .. } => {
                self.state(&node, "error", 0.0, 1.0);
                if error.no_room {
                    self.no_room = Some(format!("{node}: {}", error.message));
                }
                // ComfyUI stops at the first error, so there is only one to tell.
                if self.error.is_none() {
                    self.error = Some(self.error_json(&node, &error));
                }
            }
            Event::Blocked { node, message } => {
                let error = NodeError {
                    message: format!("Execution Blocked: {message}"),
                    kind: "ExecutionBlocked".to_owned(),
                    ..NodeError::default()
                };
                let data = self.error_json(&node, &error);
                self.record("execution_error", data.as_object().cloned().unwrap_or_default());
            }
            Event::NodeBlocked { node, by } => {
                tracing::debug!(job = %self.id, "node {} does not run, because node {} failed", node.id, by.id);
            }
            Event::NodeCancelled { node } => self.current = Some(node),
        }
    }

    fn started(&mut self, node: &NodeRef) {
        self.state(node, "running", 0.0, 1.0);
        self.flush_if_few();
        self.send(Frame::Text(messages::executing(&self.id, Some((&node.id, node.display()))).into()));
        self.running().at(Some((node.id.to_string(), node.display().to_string())));
        self.current = Some(node.clone());
    }

    fn executed(&mut self, node: &NodeRef, ui: &Map<String, Value>) {
        let output = ui_output::public(ui, &self.app.config.output_dir);
        if output.is_empty() {
            return;
        }
        let output = Value::Object(output);
        let data = json!({ "node": &*node.id, "display_node": node.display(), "output": output, "prompt_id": self.id });
        self.tell("executed", &data);
        self.outputs.insert(node.id.to_string(), output);
        let meta = json!({
            "node_id": &*node.id, "display_node": node.display(), "parent_node": node.parent(),
            "real_node_id": node.real(),
        });
        self.meta.insert(node.id.to_string(), meta);
    }

    fn error_json(&self, node: &NodeRef, error: &NodeError) -> Value {
        json!({
            "node_id": node.display(), "node_type": &*node.class_type, "executed": self.ran,
            "exception_message": error.message, "exception_type": error.kind, "traceback": error.traceback,
            "current_inputs": error.inputs, "current_outputs": self.ran,
        })
    }

    fn text(&self, node: &NodeRef, text: &str) {
        self.send(Frame::Binary(ws::text(&node.id, text).into()));
    }

    fn preview(&mut self, node: &NodeRef, picture: &[u8]) {
        let metadata = json!({
            "node_id": &*node.id, "prompt_id": self.id, "display_node_id": node.display(), "parent_node_id": node.parent(),
            "real_node_id": node.real(),
        });
        let picture = crate::pictures::preview(picture, self.app.config.preview_size);
        let (plain, full) = ws::preview(&picture, metadata);
        self.send(Frame::Preview {
            key: format!("preview {}", node.id).into(),
            plain: plain.into(),
            full: full.into(),
        });
    }

    fn state_json(&self, node: &NodeRef, state: &str, value: f64, max: f64) -> Value {
        json!({
            "value": whole(value), "max": whole(max), "state": state, "node_id": &*node.id, "prompt_id": self.id,
            "display_node_id": node.display(), "parent_node_id": node.parent(), "real_node_id": node.real(),
        })
    }

    fn state(&mut self, node: &NodeRef, state: &str, value: f64, max: f64) {
        let json = self.state_json(node, state, value, max);
        self.states.insert(node.id.to_string(), json);
        self.dirty = true;
        if self.sent.is_none_or(|at| at.elapsed() >= STATES_INTERVAL) {
            self.flush();
        }
    }

    fn flush_if_few(&mut self) {
        if self.states.len() <= FEW {
            self.flush();
        }
    }

    /// Sends the states of the nodes, if they changed.
    pub(super) fn flush(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        self.sent = Some(Instant::now());
        // Without a client nobody reads it.
        if self.client.is_some() {
            let data = json!({ "prompt_id": self.id, "nodes": self.states });
            let text = messages::message("progress_state", &data).into();
            self.send(Frame::Latest { key: "progress_state".into(), text });
        }
    }

    /// The run is over. The last messages are told by the caller, once the outcome is recorded: who asks after hearing
    /// them finds it.
    pub(super) fn end(&mut self, report: Result<RunReport, anyhow::Error>) -> Ending {
        self.flush();
        let mut ending = Ending { no_room: self.no_room.take(), ..Ending::default() };
        let state = match report {
            Ok(report) if report.cancelled && self.error.is_none() => {
                let node = self.current.take();
                let data = json!({
                    "node_id": node.as_ref().map(|n| &*n.id), "node_type": node.as_ref().map(|n| &*n.class_type),
                    "executed": self.ran,
                });
                let data = self.last("execution_interrupted", data);
                ending.to_all = Some(Frame::Text(messages::message("execution_interrupted", &data).into()));
                State::Cancelled
            }
            Err(error) => {
                let words = crate::room::no_room(&error);
                let message = words.map_or_else(|| format!("{error:#}"), |words| format!("{error:#}: {words}"));
                ending.no_room = words.map(|_| message.clone());
                self.error = Some(json!({
                    "node_id": null, "node_type": null, "executed": [], "exception_message": message,
                    "exception_type": "RuntimeError", "traceback": [], "current_inputs": {}, "current_outputs": [],
                }));
                State::Failed
            }
            Ok(_) if self.error.is_some() => State::Failed,
            Ok(_) => {
                let data = self.last("execution_success", json!({}));
                ending.to_client = Some(Frame::Text(messages::message("execution_success", &data).into()));
                State::Completed
            }
        };
        if state == State::Failed {
            let error = self.error.take().unwrap_or_default();
            let data = self.last("execution_error", error);
            ending.to_client = Some(Frame::Text(messages::message("execution_error", &data).into()));
            self.error = Some(data);
        }
        ending.outcome = Some(Outcome {
            state,
            outputs: std::mem::take(&mut self.outputs),
            meta: std::mem::take(&mut self.meta),
            messages: std::mem::take(&mut self.messages),
            error: self.error.take(),
        });
        ending
    }

    /// Keeps a message for the history, and gives its data.
    fn last(&mut self, kind: &str, data: Value) -> Value {
        let Value::Object(data) = data else { return data };
        let data = messages::stamped(&self.id, data);
        self.messages.push(json!([kind, data]));
        data
    }
}

/// How a run ended, and what to tell of it.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) outcome: Option<Outcome>,
    /// Why, if something could not be written for want of room.
    pub(super) no_room: Option<String>,
    pub(super) to_client: Option<Frame>,
    pub(super) to_all: Option<Frame>,
}

/// Whole numbers without a point, as clients print them.
fn whole(number: f64) -> Value {
    crate::jobs::number_json(number)
}

//! The thread that takes one job after the other.

use super::execute::execute;
use super::messages;
use super::view::{Ending, STATES_INTERVAL, View};
use crate::app::App;
use crate::jobs::{Outcome, State, Ticket};
use crate::room::no_room;
use crate::ws::Frame;
use parking_lot::{Condvar, Mutex};
use serde_json::{Map, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A job that has run for so long is not the one that ends the server soon after each start.
const TRUSTED_AFTER: Duration = Duration::from_secs(600);
/// How often a full or broken disk is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Wakes, pauses and ends the thread.
#[derive(Default)]
pub(crate) struct Runner {
    /// Is there something new to look at?
    wake: Mutex<bool>,
    changed: Condvar,
    paused: AtomicBool,
    ending: AtomicBool,
}

impl Runner {
    /// There may be something to do.
    pub(crate) fn wake(&self) {
        *self.wake.lock() = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// A paused queue lets the running job end and starts no other.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
        self.wake();
    }

    /// Ends the thread; a job that runs stops at its next step and waits for the next start.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    fn wait(&self) {
        let mut woken = self.wake.lock();
        while !*woken {
            self.changed.wait(&mut woken);
        }
        *woken = false;
    }
}

/// Starts the thread.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn start(app: Arc<App>) -> std::io::Result<JoinHandle<()>> {
    app.runner.wake();
    std::thread::Builder::new().name("jobs".into()).spawn(move || work(&app))
}

fn work(app: &Arc<App>) {
    while !app.runner.is_ending() {
        if !app.runner.is_paused() && !app.has_room() {
            std::thread::sleep(LOOK_AGAIN);
            continue;
        }
        let ticket = if app.runner.is_paused() { Ok(None) } else { app.jobs.claim() };
        match ticket {
            Ok(Some(ticket)) => {
                // Nodes are guarded by the engine; a fault of our own must not end the queue either.
                if catch_unwind(AssertUnwindSafe(|| one(app, &ticket))).is_err() {
                    give_up(app, &ticket);
                }
            }
            Ok(None) => app.runner.wait(),
            Err(error) => {
                // Full or broken disk: nothing is lost by waiting.
                match no_room(&error) {
                    Some(words) => app.ran_out_of_room(&format!("{error:#}: {words}")),
                    None => tracing::error!("the next job cannot be taken: {error:#}"),
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        }
    }
}

fn one(app: &Arc<App>, ticket: &Ticket) {
    tracing::info!(job = %ticket.id, attempt = ticket.attempts, "starts");
    let started = Instant::now();
    let cancel = app.running.begin(&ticket.id, ticket.client.as_deref());
    app.tell_status();
    let view = Arc::new(Mutex::new(View::new(app.clone(), ticket)));
    view.lock().start();
    let ticking = tick(app, &ticket.id, &view);
    let report = execute(app, ticket, &|event| view.lock().event(event), &cancel);
    drop(ticking);
    if app.runner.is_ending() && report.as_ref().is_ok_and(|r| r.cancelled) {
        if let Err(error) = app.jobs.postpone(&ticket.id) {
            tracing::error!(job = %ticket.id, "could not be put back: {error:#}");
        }
        return app.running.end();
    }
    let ending = view.lock().end(report);
    close(app, ticket, ending, started.elapsed().as_secs_f64());
    app.host.finished();
}

fn give_up(app: &App, ticket: &Ticket) {
    let error = json!({
        "node_id": null, "node_type": null, "executed": [], "exception_message": "the server failed; its log says where",
        "exception_type": "InternalError", "traceback": [], "current_inputs": {}, "current_outputs": [],
    });
    let data = messages::stamped(&ticket.id, error.as_object().cloned().unwrap_or_default());
    let outcome = Outcome {
        state: State::Failed,
        outputs: Map::new(),
        meta: Map::new(),
        messages: vec![json!(["execution_error", data])],
        error: Some(data.clone()),
    };
    let frame = Frame::Text(messages::message("execution_error", &data).into());
    close(app, ticket, Ending { outcome: Some(outcome), to_client: Some(frame), ..Ending::default() }, 0.0);
}

/// Records how the job ended, then says so.
fn close(app: &App, ticket: &Ticket, mut ending: Ending, seconds: f64) {
    let Some(outcome) = ending.outcome else { return };
    if let Some(why) = &ending.no_room {
        app.ran_out_of_room(why);
    }
    // A full disk must not make a finished job run again within this process.
    while let Err(error) = app.jobs.finish(&ticket.id, &outcome) {
        tracing::error!(job = %ticket.id, "what became of it cannot be recorded: {error:#}");
        // The sender need not wait for the disk.
        if let Some(frame) = ending.to_client.take() {
            app.hub.send(ticket.client.as_deref(), frame);
        }
        if app.runner.is_ending() {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    app.running.end();
    app.metrics.finished(outcome.state, seconds);
    tracing::info!(job = %ticket.id, state = outcome.state.name(), seconds, "ends");
    let client = ticket.client.as_deref();
    if let Some(frame) = ending.to_client {
        app.hub.send(client, frame);
    }
    if let Some(frame) = ending.to_all {
        app.hub.broadcast(&frame);
    }
    app.tell_status();
    app.hub.send(client, Frame::Text(messages::executing(&ticket.id, None).into()));
}

/// Sends states that were held back, while the run says nothing. Ends when dropped.
fn tick(app: &Arc<App>, id: &str, view: &Arc<Mutex<View>>) -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let (app, id, view) = (app.clone(), id.to_owned(), Arc::downgrade(view));
    let wait = move || {
        let (started, mut trusted) = (Instant::now(), false);
        while receiver.recv_timeout(STATES_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let Some(view) = view.upgrade() else { return };
            view.lock().flush();
            if !trusted && started.elapsed() > TRUSTED_AFTER {
                trusted = true;
                if let Err(error) = app.jobs.trust(&id) {
                    tracing::warn!(job = %id, "{error:#}");
                }
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("ticks".into()).spawn(wait) {
        tracing::warn!("progress will come late: {error}");
    }
    sender
}

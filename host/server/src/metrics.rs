//! Counters, in the text form that Prometheus reads.

use crate::app::App;
use crate::jobs::State;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(crate) struct Metrics {
    requests: AtomicU64,
    refused: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    milliseconds: AtomicU64,
}

impl Metrics {
    pub(crate) fn request(&self, status: u16) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if matches!(status, 401 | 403 | 429) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn finished(&self, state: State, seconds: f64) {
        let counter = match state {
            State::Completed => &self.completed,
            State::Cancelled => &self.cancelled,
            _ => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.milliseconds.fetch_add((seconds * 1e3) as u64, Ordering::Relaxed);
    }

    /// The page that a scraper reads.
    pub(crate) fn page(&self, app: &App) -> String {
        let mut page = String::new();
        let mut put = |name: &str, kind: &str, help: &str, rows: &[(&str, f64)]| {
            let _ = write!(page, "# HELP anagama_{name} {help}\n# TYPE anagama_{name} {kind}\n");
            for (labels, value) in rows {
                let _ = writeln!(page, "anagama_{name}{labels} {value}");
            }
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        put("http_requests_total", "counter", "Requests answered.", &[("", read(&self.requests))]);
        put("http_refused_total", "counter", "Requests without permission, or too many.", &[("", read(&self.refused))]);
        put(
            "jobs_total",
            "counter",
            "Jobs that ended since the start.",
            &[
                ("{state=\"completed\"}", read(&self.completed)),
                ("{state=\"failed\"}", read(&self.failed)),
                ("{state=\"cancelled\"}", read(&self.cancelled)),
            ],
        );
        put("job_seconds_total", "counter", "Time that jobs ran.", &[("", read(&self.milliseconds) / 1e3)]);
        let counts = app.jobs.counts().unwrap_or_default();
        let count = |state| counts.iter().find(|(s, _)| *s == state).map_or(0.0, |(_, n)| *n as f64);
        put(
            "queue_jobs",
            "gauge",
            "Jobs that wait or run.",
            &[("{state=\"pending\"}", count(State::Pending)), ("{state=\"running\"}", count(State::Running))],
        );
        put(
            "queue_paused",
            "gauge",
            "Whether the queue is paused.",
            &[("", f64::from(u8::from(app.runner.is_paused())))],
        );
        put("websocket_clients", "gauge", "Connected clients.", &[("", app.hub.count() as f64)]);
        if let Some(bytes) = crate::system::resident() {
            put("resident_memory_bytes", "gauge", "Memory of this process.", &[("", bytes as f64)]);
        }
        page
    }
}

//! Jobs: queued prompts, the one that runs, and what became of the others. All of it lives in SQLite, so that
//! nothing is lost with the process. Start at [`Jobs`].

mod history;
mod list;
mod queue;
mod store;

pub(crate) use list::{Filter, Sort};
pub(crate) use queue::{Accepted, New};
pub(crate) use store::Jobs;
pub use store::Policy;

use serde_json::Value;

/// Where a job stands. The numbers are those of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Pending = 0,
    Running = 1,
    Completed = 2,
    Failed = 3,
    /// Stopped by somebody while it ran.
    Cancelled = 4,
}

impl State {
    pub(crate) const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The name in the jobs API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    fn from_number(number: i64) -> Self {
        Self::ALL.into_iter().find(|s| *s as i64 == number).unwrap_or(Self::Failed)
    }
}

/// A job as the runner takes it.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) id: String,
    pub(crate) client: Option<String>,
    pub(crate) prompt: Value,
    pub(crate) extra: Value,
    /// The output nodes to run.
    pub(crate) targets: Vec<String>,
    /// How often it has been started, this time included.
    pub(crate) attempts: u32,
}

/// What became of a job.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) state: State,
    /// UI output by node.
    pub(crate) outputs: serde_json::Map<String, Value>,
    pub(crate) meta: serde_json::Map<String, Value>,
    /// `[event, data]` pairs, as the history shows them.
    pub(crate) messages: Vec<Value>,
    /// The data of `execution_error`.
    pub(crate) error: Option<Value>,
}

/// A queue number: whole ones are written without a point, as clients expect.
pub(crate) fn number_json(number: f64) -> Value {
    // Exact: larger numbers stay floats.
    if number.fract() == 0.0 && number.abs() < 9e15 { Value::from(number as i64) } else { Value::from(number) }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;

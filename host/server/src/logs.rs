//! The last lines of the log, for clients that show it.

use engine::{Level, NodeRef};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::VecDeque;

const KEPT: usize = 300;

#[derive(Default)]
pub(crate) struct Logs(Mutex<VecDeque<(i64, String)>>);

impl Logs {
    /// What a node or the engine said: to the log, and kept for clients.
    pub(crate) fn say(&self, level: Level, node: Option<&NodeRef>, message: &str) {
        let line = node.map_or_else(|| message.to_owned(), |n| format!("{n}: {message}"));
        match level {
            Level::Trace => tracing::trace!("{line}"),
            Level::Debug => tracing::debug!("{line}"),
            Level::Info => tracing::info!("{line}"),
            Level::Warn => tracing::warn!("{line}"),
            Level::Error => tracing::error!("{line}"),
        }
        if level >= Level::Info {
            self.keep(line);
        }
    }

    pub(crate) fn keep(&self, line: String) {
        let mut lines = self.0.lock();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back((crate::jobs::now(), line));
    }

    /// `[{t, m}]`
    pub(crate) fn entries(&self) -> Vec<Value> {
        self.0.lock().iter().map(|(at, line)| json!({ "t": timestamp(*at), "m": format!("{line}\n") })).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}

fn timestamp(milliseconds: i64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
    crate::http::http_date(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept() {
        let logs = Logs::default();
        for number in 0..KEPT + 2 {
            logs.say(Level::Info, None, &format!("line {number}"));
        }
        logs.say(Level::Debug, None, "detail");
        assert_eq!(logs.entries().len(), KEPT);
        assert_eq!(logs.entries()[0]["m"], "line 2\n");
        assert!(!logs.text().contains("detail"));
    }
}

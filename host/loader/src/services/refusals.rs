//! What each plugin was refused lately, kept beside its storage for `plugins explain`.

use crate::lock::write_atomic;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use spec::{ErrorKind, PluginError};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Different refusals that are kept of one plugin; the oldest go.
const KEPT: usize = 20;
/// Characters of one.
const LENGTH: usize = 400;
/// The same refusal is counted, and the count is written no more often than this.
const PAUSE: Duration = Duration::from_secs(10);

/// Something that a plugin was not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Refusal {
    /// What it wanted, and what would allow it.
    pub what: String,
    pub times: u64,
    /// Seconds since 1970, of the last time.
    pub at: u64,
}

/// The refusals of all plugins of a loader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals {
    /// None: nothing is kept.
    folder: Option<PathBuf>,
    written: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Refusals {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder: Some(folder), ..Self::default() }
    }

    /// Passes a result on, and keeps it if it is a refusal.
    pub(crate) fn note<T>(&self, plugin: &str, result: Result<T, PluginError>) -> Result<T, PluginError> {
        if let Err(e) = &result
            && e.kind == ErrorKind::Denied
        {
            self.keep(plugin, &e.message);
        }
        result
    }

    /// Newest first. A file that cannot be read is as none.
    pub(crate) fn of(&self, plugin: &str) -> Vec<Refusal> {
        let Some(file) = self.file(plugin) else { return Vec::new() };
        let read = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.unwrap_or_default()
    }

    fn file(&self, plugin: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{plugin}.json")))
    }

    fn keep(&self, plugin: &str, message: &str) {
        let Some(file) = self.file(plugin) else { return };
        let what = plain(message);
        tracing::info!("{plugin} was refused: {what}");
        let mut written = self.written.lock();
        let mut all = self.of(plugin);
        let known = all.iter().position(|r| r.what == what);
        let soon = written.get(plugin).is_some_and(|at| at.elapsed() < PAUSE);
        if known.is_some() && soon {
            return;
        }
        let times = known.map_or(1, |at| all.remove(at).times + 1);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        all.insert(0, Refusal { what, times, at });
        all.truncate(KEPT);
        let done = serde_json::to_vec(&all).map_err(std::io::Error::from).and_then(|b| write_atomic(&file, &b));
        match done {
            Ok(()) => drop(written.insert(plugin.to_owned(), Instant::now())),
            Err(e) => tracing::warn!("{}: {e}", file.display()),
        }
    }
}

/// One line, without what stands behind `?` in addresses: that may be a key.
fn plain(message: &str) -> String {
    let word = |word: &str| match word.split_once('?') {
        Some((before, _)) if before.contains("://") => format!("{before}?…"),
        _ => word.to_owned(),
    };
    let line = message.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_bounded_and_hold_no_query() {
        let dir = tempfile::tempdir().unwrap();
        let refusals = Refusals::new(dir.path().join("refused"));
        let refuse = |kind, text: &str| {
            let result: Result<(), _> = refusals.note("a.b", Err(PluginError::new(kind, text)));
            assert!(result.is_err());
        };
        refuse(ErrorKind::Unavailable, "not this one");
        assert_eq!(refusals.of("a.b"), []);
        refuse(ErrorKind::Denied, "GET https://x.example/a?api_key=123 is not granted:\n grant it");
        let kept = refusals.of("a.b");
        assert_eq!((kept[0].what.as_str(), kept[0].times), ("GET https://x.example/a?… is not granted: grant it", 1));
        refuse(ErrorKind::Denied, "GET https://x.example/a?api_key=456 is not granted: grant it");
        assert_eq!(refusals.of("a.b").len(), 1, "the same, soon after");
        refusals.written.lock().clear();
        refuse(ErrorKind::Denied, "GET https://x.example/a?api_key=456 is not granted: grant it");
        assert_eq!(refusals.of("a.b")[0].times, 2);
        for n in 0..50 {
            refuse(ErrorKind::Denied, &format!("model {n} {}", "x".repeat(1000)));
        }
        let kept = refusals.of("a.b");
        assert!(kept.len() == KEPT && kept[0].what.starts_with("model 49 ") && kept[0].what.len() == LENGTH);
        assert_eq!(refusals.of("c.d"), []);
    }
}

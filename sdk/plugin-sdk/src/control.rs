//! The running job: log, progress, cancelling, the seed.

use crate::host::with_host;
use serde::{Deserialize, Serialize};

/// How important a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// A line for the run's log.
///
/// ```
/// let host = plugin_test::FakeHost::new().install();
/// plugin_sdk::control::log(plugin_sdk::control::Level::Warn, "3 files skipped");
/// assert_eq!(host.logs()[0].1, "3 files skipped");
/// ```
pub fn log(level: Level, message: &str) {
    with_host(|h| h.log(level, message));
}

/// How far the current call is; `total` if known.
pub fn progress(done: u64, total: Option<u64>, message: &str) {
    with_host(|h| h.progress(done, total, message));
}

/// Does the user want the job to stop? A long call should ask now and then, and return an error of kind
/// [`Cancelled`](crate::ErrorKind::Cancelled).
pub fn cancelled() -> bool {
    with_host(|h| h.cancelled())
}

/// The seed of the graph node: the only approved source of randomness.
pub fn seed() -> u64 {
    with_host(|h| h.seed())
}

/// Waits for a while, or less if the job is cancelled meanwhile.
pub fn sleep(milliseconds: u32) {
    #[cfg(target_family = "wasm")]
    crate::wasm::imports::anagama::plugin::control::sleep(milliseconds);
    #[cfg(not(target_family = "wasm"))]
    {
        use std::time::{Duration, Instant};
        let until = Instant::now() + Duration::from_millis(milliseconds.into());
        while !cancelled() {
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(Duration::from_millis(10))),
                _ => return,
            }
        }
    }
}

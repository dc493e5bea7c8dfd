//! Log, progress, cancelling and the seed.

use super::Services;
use crate::Level;
use std::time::{Duration, Instant};

/// Longest log line or progress message that is passed on, in bytes.
const MAX_LINE: usize = 4096;

/// How long a plugin that sleeps is deaf.
const STEP: Duration = Duration::from_millis(10);

impl Services {
    pub(crate) fn log(&mut self, level: Level, message: &str) {
        let message = shortened(message);
        if level == Level::Error {
            self.last_words = Some(message.to_owned());
        }
        (self.call.log)(level, &format!("{}: {message}", self.label));
    }

    pub(crate) fn progress(&self, done: u64, total: Option<u64>, message: &str) {
        (self.call.progress)(done, total, shortened(message));
    }

    /// Waits in short steps, so that cancelling is heard.
    pub(crate) fn sleep(&self, milliseconds: u32) {
        let until = Instant::now() + Duration::from_millis(milliseconds.into());
        while !(self.call.cancelled)() {
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(STEP)),
                _ => return,
            }
        }
    }

    /// The plugin's own account of why it crashed, if it gave one.
    pub(crate) fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }
}

fn shortened(message: &str) -> &str {
    let mut end = message.len().min(MAX_LINE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_end_at_a_character() {
        let long = "ä".repeat(MAX_LINE);
        assert_eq!(shortened(&long).len(), MAX_LINE);
        assert_eq!(shortened(&format!("a{long}")).len(), MAX_LINE - 1);
        assert_eq!(shortened("short"), "short");
    }
}

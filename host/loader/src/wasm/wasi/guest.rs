//! What a guest of WASI can notice: a clock that counts, numbers from the seed, and its own words.

use super::super::State;
use crate::Level;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use wasmtime::Result;

/// Every look at the clock takes this many nanoseconds, so that loops that wait for it end.
pub(super) const TICK: u64 = 1_000;
/// 2020-01-01, in seconds since 1970: when every run begins.
const START: u64 = 1_577_836_800;
/// Longest line that is passed on in one piece.
const MAX_LINE: usize = 2_000;
/// Most bytes that one call may print; the rest is left out.
const MAX_PRINTED: usize = 64 << 10;
/// Lines of standard error that are kept to explain a crash.
const KEPT: usize = 24;
/// Most alarms at a time.
const MAX_ALARMS: usize = 10_000;

/// Where something is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out = 1,
    Error = 2,
}

#[derive(Default)]
pub(crate) struct Guest {
    /// Nanoseconds since the instance began, as it is told.
    time: u64,
    random: u64,
    alarms: HashMap<u32, u64>,
    next_alarm: u32,
    lines: [Vec<u8>; 2],
    printed: usize,
    errors: VecDeque<String>,
}

impl Guest {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, ..Self::default() }
    }

    /// A new call into the plugin begins.
    pub(crate) fn begin_call(&mut self) {
        self.printed = 0;
        self.errors.clear();
    }

    /// The last thing that it said about what went wrong, with the place, as interpreters print it. What the interpreter
    /// itself says when it gives up comes after that, and tells less.
    pub(crate) fn last_words(&self) -> Option<String> {
        let rest = String::from_utf8_lossy(&self.lines[1]);
        let lines = self.errors.iter().map(String::as_str).chain([&*rest]).map(str::trim);
        let lines: Vec<&str> =
            lines.filter(|l| l.contains(char::is_alphanumeric) && !l.starts_with("note: run with")).collect();
        let given_up = lines.iter().position(|l| l.starts_with("thread '") && l.contains(" panicked at "));
        let lines = match given_up {
            Some(at) if at > 0 => &lines[..at],
            _ => &lines[..],
        };
        let is_place = |l: &&&str| l.starts_with("File \"") || l.starts_with("at ");
        let words = lines.iter().rev().find(|l| !is_place(l))?;
        let place = lines.iter().rev().find(is_place);
        Some(place.map_or_else(|| (*words).to_owned(), |place| format!("{words} ({place})")))
    }

    pub(super) fn now(&mut self) -> u64 {
        self.time += TICK;
        self.time
    }

    /// Seconds and nanoseconds.
    pub(super) fn wall_clock(&mut self) -> (u64, u32) {
        let now = Duration::from_nanos(self.now());
        (START + now.as_secs(), now.subsec_nanos())
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    pub(super) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn random_bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(n + 8);
        while bytes.len() < n {
            bytes.extend(self.random().to_le_bytes());
        }
        bytes.truncate(n);
        bytes
    }

    pub(super) fn alarm(&mut self, at: u64) -> Result<u32> {
        if self.alarms.len() >= MAX_ALARMS {
            return Err(wasmtime::Error::msg(format!("it waits for {MAX_ALARMS} things at once")));
        }
        // Numbers are only used again after four thousand million of them.
        while self.alarms.contains_key(&self.next_alarm) {
            self.next_alarm = self.next_alarm.wrapping_add(1);
        }
        self.alarms.insert(self.next_alarm, at);
        Ok(self.next_alarm)
    }

    pub(super) fn forget(&mut self, alarm: u32) {
        self.alarms.remove(&alarm);
    }

    pub(super) fn is_due(&self, alarm: u32) -> bool {
        self.alarms.get(&alarm).is_none_or(|at| *at <= self.time)
    }

    /// Whole lines of what was printed, and of the rest that which is too long to wait for its end.
    fn take_lines(&mut self, to: Stream, bytes: &[u8]) -> Vec<String> {
        let left = MAX_PRINTED.saturating_sub(self.printed);
        self.printed = self.printed.saturating_add(bytes.len());
        let buffer = &mut self.lines[to as usize - 1];
        buffer.extend_from_slice(&bytes[..bytes.len().min(left)]);
        let mut lines = Vec::new();
        while let Some(end) = buffer
            .iter()
            .take(MAX_LINE)
            .position(|b| *b == b'\n')
            .or((buffer.len() >= MAX_LINE).then_some(MAX_LINE - 1))
        {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if left > 0 && self.printed > MAX_PRINTED {
            lines.push(format!("(more than {} KiB were printed in one call; the rest is left out)", MAX_PRINTED >> 10));
        }
        lines
    }
}

impl State {
    /// Made at the first use: most plugins are without it.
    pub(crate) fn wasi(&mut self) -> &mut Guest {
        let seed = self.services.call.seed;
        self.wasi.get_or_insert_with(|| Box::new(Guest::new(seed)))
    }

    pub(super) fn print(&mut self, to: Stream, bytes: &[u8]) {
        let lines = self.wasi().take_lines(to, bytes);
        let level = if to == Stream::Error { Level::Warn } else { Level::Info };
        for line in lines.into_iter().filter(|l| !l.is_empty()) {
            self.services.log(level, &line);
            if to == Stream::Error {
                let errors = &mut self.wasi().errors;
                errors.push_back(line);
                if errors.len() > KEPT {
                    errors.pop_front();
                }
            }
        }
    }

    /// Waits until one of them is due; which are? The run's end and the call's deadline end it.
    pub(super) fn wait(&mut self, alarms: &[u32]) -> Result<Vec<u32>> {
        let wasi = self.wasi();
        let Some(next) = alarms.iter().map(|a| wasi.alarms.get(a).copied().unwrap_or(0)).min() else {
            return Err(wasmtime::Error::msg("it waits for nothing"));
        };
        if next > wasi.time {
            let until = Instant::now() + Duration::from_nanos(next - wasi.time).min(Duration::from_secs(86_400));
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                if let Err(fault) = self.services.check() {
                    return Err(self.end(fault));
                }
                let step = left.min(self.services.remaining()).min(Duration::from_millis(10));
                std::thread::sleep(step);
            }
            let wasi = self.wasi();
            wasi.time = wasi.time.max(next);
        }
        let wasi = self.wasi();
        Ok((0..).zip(alarms).filter(|(_, alarm)| wasi.is_due(**alarm)).map(|(n, _)| n).collect())
    }

    /// Why it crashed, in its own words.
    pub(crate) fn wasi_last_words(&self) -> Option<String> {
        self.wasi.as_ref().and_then(|w| w.last_words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_world() {
        let world = |seed| {
            let mut guest = Guest::new(seed);
            (guest.random_bytes(20), guest.now(), guest.wall_clock())
        };
        assert_eq!(world(7), world(7));
        assert_ne!(world(7).0, world(8).0);
        let mut guest = Guest::new(0);
        assert!(guest.now() < guest.now(), "a loop that waits for the clock ends");
    }

    #[test]
    fn lines_are_cut_and_capped() {
        let mut guest = Guest::default();
        assert_eq!(guest.take_lines(Stream::Out, b"one\ntw"), ["one"]);
        assert_eq!(guest.take_lines(Stream::Error, b"x\n"), ["x"]);
        assert_eq!(guest.take_lines(Stream::Out, b"o\n"), ["two"]);
        assert_eq!(guest.take_lines(Stream::Out, &[b'a'; 3 * MAX_LINE]).len(), 3);
        let many = guest.take_lines(Stream::Out, &vec![b'\n'; 2 * MAX_PRINTED]);
        assert!(many.len() <= MAX_PRINTED + 1 && many.last().unwrap().contains("left out"));
        assert!(guest.take_lines(Stream::Out, b"more\n").is_empty());
        guest.begin_call();
        assert_eq!(guest.take_lines(Stream::Out, b"again\n"), ["again"]);
    }

    #[test]
    fn a_traceback_says_what_and_where() {
        let mut guest = Guest::default();
        assert_eq!(guest.last_words(), None);
        for line in ["Traceback (most recent call last):", "  File \"/0/plugin.py\", line 9, in caption", "    x()", ""]
        {
            guest.errors.push_back(line.to_owned());
        }
        guest.errors.push_back("ValueError: bad".to_owned());
        guest.errors.push_back("thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1:2:".to_owned());
        guest.lines[1] = b"note: run with `RUST_BACKTRACE=1`".to_vec();
        assert_eq!(guest.last_words().unwrap(), "ValueError: bad (File \"/0/plugin.py\", line 9, in caption)");
    }

    #[test]
    fn alarms_are_counted_and_forgotten() {
        let mut guest = Guest::default();
        let alarm = guest.alarm(5_000).unwrap();
        assert!(!guest.is_due(alarm));
        guest.time = 5_000;
        assert!(guest.is_due(alarm));
        guest.forget(alarm);
        for _ in 0..MAX_ALARMS {
            guest.alarm(1).unwrap();
        }
        assert!(guest.alarm(1).is_err());
    }
}

//! How fast one host is asked, over all plugins and threads: a pause between requests, two downloads at a time, and
//! silence for as long as a host asked for.

use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Downloads from one host at a time.
const DOWNLOADS: usize = 2;

/// The hosts that were asked so far.
#[derive(Default)]
pub(crate) struct Pace {
    hosts: Mutex<HashMap<String, Host>>,
    freed: Condvar,
}

#[derive(Default)]
struct Host {
    /// No request before this.
    next: Option<Instant>,
    downloads: usize,
}

impl Pace {
    /// Takes the next turn at a host: how long to wait for it. One that is further away than `patience` is not taken.
    ///
    /// # Errors
    /// The wait that would be needed.
    pub(crate) fn turn(&self, host: &str, pause: Duration, patience: Duration) -> Result<Duration, Duration> {
        let now = Instant::now();
        let mut hosts = self.hosts.lock();
        let host = hosts.entry(host.to_owned()).or_default();
        let at = host.next.map_or(now, |next| next.max(now));
        let wait = at - now;
        if wait > patience {
            return Err(wait);
        }
        host.next = Some(at + pause);
        Ok(wait)
    }

    /// The host asked for silence.
    pub(crate) fn hold(&self, host: &str, time: Duration) {
        let until = Instant::now() + time;
        let mut hosts = self.hosts.lock();
        let host = hosts.entry(host.to_owned()).or_default();
        host.next = Some(host.next.map_or(until, |next| next.max(until)));
    }

    /// Waits for a place among the downloads from a host. None: `stop` said so meanwhile.
    pub(crate) fn download(&self, host: &str, stop: impl Fn() -> bool) -> Option<Slot<'_>> {
        let mut hosts = self.hosts.lock();
        loop {
            if stop() {
                return None;
            }
            let entry = hosts.entry(host.to_owned()).or_default();
            if entry.downloads < DOWNLOADS {
                entry.downloads += 1;
                return Some(Slot { pace: self, host: host.to_owned() });
            }
            self.freed.wait_for(&mut hosts, Duration::from_millis(20));
        }
    }
}

/// A download in progress.
pub(crate) struct Slot<'a> {
    pace: &'a Pace,
    host: String,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Some(host) = self.pace.hosts.lock().get_mut(&self.host) {
            host.downloads = host.downloads.saturating_sub(1);
        }
        self.pace.freed.notify_all();
    }
}

/// A time, longer by up to a quarter, so that many clients that were sent away together do not come back together.
pub(crate) fn jittered(time: Duration) -> Duration {
    time + time.mul_f64(chance() / 4.0)
}

/// A number from 0 to below 1, for pauses alone: by the clock, so that no two programs agree. No result depends on it.
pub(crate) fn chance() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    f64::from(now.subsec_micros() % 1000) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_at_one_host_are_apart_and_hosts_do_not_wait_for_each_other() {
        let (pace, second) = (Pace::default(), Duration::from_secs(1));
        let patience = Duration::from_secs(60);
        assert_eq!(pace.turn("a", second, patience), Ok(Duration::ZERO));
        let wait = pace.turn("a", second, patience).unwrap();
        assert!(wait > Duration::from_millis(900) && wait <= second, "{wait:?}");
        assert!(pace.turn("a", second, patience).unwrap() > wait);
        assert_eq!(pace.turn("b", second, patience), Ok(Duration::ZERO));
        assert!(pace.turn("a", second, second).is_err(), "too far away");
        pace.hold("b", 10 * second);
        assert!(pace.turn("b", second, second).unwrap_err() > 9 * second);
    }

    #[test]
    fn two_downloads_run_at_a_time() {
        let pace = Pace::default();
        let first = pace.download("a", || false).unwrap();
        let _second = pace.download("a", || false).unwrap();
        let asked = std::cell::Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        assert!(pace.download("a", stop).is_none(), "the third waits");
        assert!(pace.download("b", || false).is_some());
        drop(first);
        assert!(pace.download("a", || false).is_some());
    }

    #[test]
    fn jitter_only_lengthens() {
        let second = Duration::from_secs(1);
        assert!((second..=second.mul_f64(1.25)).contains(&jittered(second)));
    }
}

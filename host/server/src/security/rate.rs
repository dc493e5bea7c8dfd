//! How often one address may ask: a bucket of tokens that fills again.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// More addresses than this are not remembered.
const MAX_ADDRESSES: usize = 10_000;

pub(super) struct Buckets {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Buckets {
    pub(super) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, buckets: Mutex::default() }
    }

    /// False if the address has used up what it may.
    pub(super) fn take(&self, ip: IpAddr) -> bool {
        self.take_at(ip, Instant::now())
    }

    fn take_at(&self, ip: IpAddr, now: Instant) -> bool {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MAX_ADDRESSES && !buckets.contains_key(&ip) {
            let (rate, burst) = (self.per_second, self.burst);
            buckets.retain(|_, (left, at)| *left + (now - *at).as_secs_f64() * rate < burst);
            if buckets.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let (left, at) = buckets.entry(ip).or_insert((self.burst, now));
        *left = (*left + now.saturating_duration_since(*at).as_secs_f64() * self.per_second).min(self.burst);
        *at = now;
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let (buckets, start) = (Buckets::new(2.0, 3.0), Instant::now());
        let ip = IpAddr::from([10, 0, 0, 1]);
        let taken = |at: f64| buckets.take_at(ip, start + Duration::from_secs_f64(at));
        assert!([0.0, 0.0, 0.0].into_iter().all(taken));
        assert!(!taken(0.1));
        assert!(taken(0.7));
        assert!(!taken(0.8));
        assert!(buckets.take_at(IpAddr::from([10, 0, 0, 2]), start));
    }
}

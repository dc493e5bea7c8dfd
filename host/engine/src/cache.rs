//! Results in memory, from run to run.

use crate::Outputs;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What stays in memory after a run.
#[derive(Clone, Default)]
pub enum CachePolicy {
    /// What the last plan could use.
    #[default]
    Classic,
    /// What the last plan could use, and of older results the latest, up to this many in all.
    Lru(usize),
    /// Nothing; the store is not asked either.
    None,
    /// Everything, until memory runs short.
    Ram(RamPolicy),
}

/// When and what [`CachePolicy::Ram`] gives up.
#[derive(Clone)]
pub struct RamPolicy {
    /// Results go while fewer bytes than this are free.
    pub headroom: u64,
    /// Who measures.
    pub probe: Arc<dyn MemoryProbe>,
}

/// Knows how much memory there is, and how much results take.
pub trait MemoryProbe: Send + Sync {
    /// Bytes that programs could still take.
    fn available(&self) -> u64;

    /// Bytes that these outputs keep; 0 if they are only handles on what others keep.
    fn size(&self, outputs: &Outputs) -> u64;
}

/// Each run that did not use a result makes it this much more likely to go.
const AGE_FACTOR: f64 = 1.3;

struct Entry {
    outputs: Arc<Outputs>,
    /// The last run that used it.
    used: u64,
    bytes: u64,
}

/// Results by signature.
#[derive(Default)]
pub(crate) struct Memory {
    entries: HashMap<String, Entry>,
    run: u64,
}

impl Memory {
    pub(crate) fn begin(&mut self) {
        self.run += 1;
    }

    pub(crate) fn get(&mut self, signature: &str) -> Option<Arc<Outputs>> {
        let entry = self.entries.get_mut(signature)?;
        entry.used = self.run;
        Some(entry.outputs.clone())
    }

    /// Without counting as use.
    pub(crate) fn has(&self, signature: &str) -> bool {
        self.entries.contains_key(signature)
    }

    pub(crate) fn put(&mut self, policy: &CachePolicy, signature: &str, outputs: Arc<Outputs>) {
        let bytes = match policy {
            CachePolicy::None => return,
            CachePolicy::Ram(ram) => ram.probe.size(&outputs),
            _ => 0,
        };
        self.entries.insert(signature.to_owned(), Entry { outputs, used: self.run, bytes });
        if let CachePolicy::Ram(ram) = policy {
            self.relieve(ram);
        }
    }

    /// The run is over; `used` are the signatures of its nodes.
    pub(crate) fn end(&mut self, policy: &CachePolicy, used: &HashSet<&str>) {
        match policy {
            CachePolicy::None => self.entries.clear(),
            CachePolicy::Classic => self.entries.retain(|signature, _| used.contains(signature.as_str())),
            CachePolicy::Lru(most) => {
                for (signature, entry) in &mut self.entries {
                    if used.contains(signature.as_str()) {
                        entry.used = self.run;
                    }
                }
                let mut old: Vec<(u64, String)> = self.entries.iter().map(|(s, e)| (e.used, s.clone())).collect();
                old.retain(|(used, _)| *used < self.run);
                old.sort_unstable();
                let excess = self.entries.len().saturating_sub(*most);
                old.iter().take(excess).for_each(|(_, signature)| drop(self.entries.remove(signature)));
            }
            CachePolicy::Ram(ram) => self.relieve(ram),
        }
    }

    fn relieve(&mut self, ram: &RamPolicy) {
        let mut short = ram.headroom.saturating_sub(ram.probe.available());
        if short == 0 {
            return;
        }
        let score = |e: &Entry| e.bytes as f64 * AGE_FACTOR.powi((self.run - e.used).min(1000) as i32);
        let mut all: Vec<(f64, bool, String)> =
            self.entries.iter().map(|(s, e)| (score(e), e.used < self.run, s.clone())).collect();
        // What this run used goes last.
        all.sort_by(|a, b| b.1.cmp(&a.1).then(b.0.total_cmp(&a.0)));
        for (_, _, signature) in all {
            if short == 0 {
                break;
            }
            short = short.saturating_sub(self.entries.remove(&signature).map_or(0, |e| e.bytes));
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn left(memory: &Memory) -> Vec<&str> {
        let mut left: Vec<&str> = memory.entries.keys().map(String::as_str).collect();
        left.sort_unstable();
        left
    }

    fn run(memory: &mut Memory, policy: &CachePolicy, signatures: &[&str]) {
        memory.begin();
        for signature in signatures {
            if memory.get(signature).is_none() {
                memory.put(policy, signature, Arc::new(Outputs::default()));
            }
        }
        memory.end(policy, &signatures.iter().copied().collect());
    }

    #[test]
    fn each_policy_keeps_what_it_says() {
        let after = |policy: CachePolicy| {
            let mut memory = Memory::default();
            run(&mut memory, &policy, &["a", "b"]);
            run(&mut memory, &policy, &["b", "c"]);
            run(&mut memory, &policy, &["d"]);
            left(&memory).join(" ")
        };
        assert_eq!(after(CachePolicy::Classic), "d");
        assert_eq!(after(CachePolicy::None), "");
        assert_eq!(after(CachePolicy::Lru(100)), "a b c d");
        assert_eq!(after(CachePolicy::Lru(3)), "b c d");
        assert_eq!(after(CachePolicy::Lru(0)), "d");
    }

    struct Pretend(AtomicU64);

    impl MemoryProbe for Pretend {
        fn available(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
        fn size(&self, outputs: &Outputs) -> u64 {
            outputs.ui["bytes"].as_u64().unwrap()
        }
    }

    #[test]
    fn short_memory_costs_large_and_old_results_first() {
        let probe = Arc::new(Pretend(AtomicU64::new(1000)));
        let policy = CachePolicy::Ram(RamPolicy { headroom: 100, probe: probe.clone() });
        let mut memory = Memory::default();
        let sized = |bytes: u64| {
            let ui = [("bytes".to_owned(), bytes.into())].into_iter().collect();
            Arc::new(Outputs { ui, ..Outputs::default() })
        };
        memory.begin();
        memory.put(&policy, "old and small", sized(10));
        memory.put(&policy, "old and large", sized(60));
        memory.begin();
        memory.put(&policy, "older than new", sized(30));
        memory.begin();
        memory.put(&policy, "new", sized(500));
        assert_eq!(left(&memory).len(), 4);
        probe.0.store(50, Ordering::Relaxed);
        memory.end(&policy, &HashSet::new());
        assert_eq!(left(&memory), ["new", "old and small", "older than new"]);
        probe.0.store(0, Ordering::Relaxed);
        memory.end(&policy, &HashSet::new());
        assert_eq!(left(&memory), [""; 0]);
    }
}

//! Ids that earlier runs took, in the plugin's storage: one key for each page, below the site.

use plugin_sdk::control::{self, Level};
use plugin_sdk::{Result, storage};
use std::collections::BTreeSet;

pub(crate) struct Done {
    prefix: String,
    /// What earlier runs took, when it was asked for.
    loaded: Option<BTreeSet<u64>>,
    /// Said once.
    full: bool,
}

/// Keys that one call lists.
const KEYS: u32 = 1000;
/// So that a key with an id fits what storage takes.
const PREFIX: usize = 70;

impl Done {
    pub(crate) fn new(family: &str, base: &str) -> Self {
        let site = base.split_once("://").map_or(base, |(_, rest)| rest);
        let mut prefix = format!("done/{family}/{site}");
        while prefix.len() > PREFIX {
            prefix.pop();
        }
        prefix.push('/');
        Self { prefix, loaded: None, full: false }
    }

    /// Reads the list, once.
    pub(crate) fn load(&mut self) -> Result<()> {
        if self.loaded.is_some() {
            return Ok(());
        }
        let (mut all, mut after) = (BTreeSet::new(), None);
        loop {
            let keys = storage::keys(&self.prefix, after.as_deref(), KEYS)?;
            for key in &keys {
                all.extend(ids(&storage::get(key)?.unwrap_or_default()));
            }
            match keys.last() {
                Some(last) if keys.len() == KEYS as usize => after = Some(last.clone()),
                _ => break,
            }
        }
        self.loaded = Some(all);
        Ok(())
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.loaded.as_ref().is_some_and(|all| all.contains(&id))
    }

    /// Adds the ids of a page. A full store is said once and is no reason to stop.
    pub(crate) fn add(&mut self, new: &[u64]) {
        let Some(last) = new.iter().min() else { return };
        let key = format!("{}{last}", self.prefix);
        let written = storage::get(&key).and_then(|old| {
            let mut all: BTreeSet<u64> = ids(&old.unwrap_or_default()).collect();
            all.extend(new);
            let text: Vec<String> = all.iter().map(u64::to_string).collect();
            storage::set(&key, text.join(" ").as_bytes())
        });
        if let Err(e) = written
            && !self.full
        {
            self.full = true;
            control::log(Level::Warn, &format!("what was taken cannot be remembered for `skip_done`: {}", e.message));
        }
    }
}

fn ids(bytes: &[u8]) -> impl Iterator<Item = u64> {
    String::from_utf8_lossy(bytes).split_whitespace().filter_map(|n| n.parse().ok()).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_known_to_the_next_run() {
        let _host = plugin_test::FakeHost::new().install();
        let mut done = Done::new("e621", "https://e621.example");
        done.add(&[5, 3, 9]);
        done.add(&[3, 1]);
        done.add(&[]);
        assert!(!done.has(5), "not asked for");
        let mut later = Done::new("e621", "https://e621.example");
        later.load().unwrap();
        assert!([1, 3, 5, 9].iter().all(|id| later.has(*id)) && !later.has(2));
        let mut other = Done::new("e621", "https://other.example");
        other.load().unwrap();
        assert!(!other.has(5));
        assert!(Done::new("x", &"ü".repeat(90)).prefix.len() <= PREFIX + 1);
    }
}

//! Says where images come from.

use super::{Answer, Guard, KindRow, answers};
use data::{DatasetSource, Page};
use spec::{PluginError, Role};
use std::collections::HashSet;
use std::hash::{Hash as _, Hasher as _};

pub(crate) const ROW: KindRow =
    KindRow { kind: Role::DatasetSource, name: "dataset-source", interface: "anagama:plugin/dataset-source" };

/// The calls that both forms of a source implement.
pub(crate) trait RawSource: Send {
    fn next_page(&mut self, from: Option<&str>, max_items: u32) -> Answer<Page>;
}

pub(crate) struct GuardedSource {
    guard: Guard<dyn RawSource>,
    trail: Trail,
}

impl GuardedSource {
    pub(crate) fn new(guard: Guard<dyn RawSource>) -> Self {
        Self { guard, trail: Trail::default() }
    }
}

/// Pages in a row without anything new before a listing is taken for an endless one. Of a large site much may be left out.
const MAX_STALE: usize = 10_000;

/// Where a listing has been, to see that it goes in circles. Only hashes are kept.
#[derive(Default)]
struct Trail {
    pages: HashSet<u64>,
    ids: HashSet<u64>,
    /// Pages in a row without a new id.
    stale: usize,
}

fn hash(text: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Trail {
    /// Does the page at `from` lead on?
    fn follow(&mut self, from: Option<&str>, page: &Page) -> Result<(), String> {
        let here = from.map_or(0, hash);
        if from.is_none() || self.pages.contains(&here) {
            // The caller begins again, or goes back to an earlier page.
            *self = Self::default();
        }
        self.pages.insert(here);
        let Some(next) = &page.next else { return Ok(()) };
        if self.pages.contains(&hash(next)) || from == Some(next) {
            return Err(format!(
                "after the page at {:?} comes the one at {next:?}, which was there before: the listing would never end",
                from.unwrap_or_default()
            ));
        }
        let new = page.items.iter().filter(|item| self.ids.insert(hash(&item.id))).count();
        self.stale = if new == 0 { self.stale + 1 } else { 0 };
        if self.stale >= MAX_STALE {
            return Err(format!(
                "{MAX_STALE} pages in a row, up to the one at {next:?}, had no item that was not there before: the \
                 listing would never end"
            ));
        }
        Ok(())
    }
}

impl DatasetSource for GuardedSource {
    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page, PluginError> {
        let page = self.guard.call(|s| {
            let mut page = s.next_page(from.as_deref(), max_items)?;
            page.iter_mut().try_for_each(|page| answers::page(page, max_items))?;
            Ok(page)
        });
        let page = page.map_err(|e| {
            let at = from.as_deref().map_or("the first page".to_owned(), |c| format!("the page at {c:?}"));
            self.guard.blame(&at, &e)
        })?;
        self.trail
            .follow(from.as_deref(), &page)
            .map_err(|why| self.guard.blame_plugin("next-page", PluginError::new(spec::ErrorKind::Internal, why)))?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stuck;
    impl RawSource for Stuck {
        fn next_page(&mut self, _: Option<&str>, _: u32) -> Answer<Page> {
            Ok(Ok(Page { next: Some("a".into()), ..Page::default() }))
        }
    }

    #[test]
    fn an_endless_listing_is_an_error() {
        let guard = Guard::<dyn RawSource>::new("plugin x".into(), Box::new(|| Ok(Box::new(Stuck)))).unwrap();
        let mut source = GuardedSource::new(guard);
        assert!(source.next_page(None, 1).is_ok());
        assert!(source.next_page(Some("a".into()), 1).unwrap_err().message.contains("never end"));
        assert!(source.next_page(None, 1).is_ok(), "whoever begins again is no circle");
    }
}

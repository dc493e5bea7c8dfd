//! Says where images come from.

use super::{Answer, Guard, KindRow};
use data::{DatasetSource, Page};
use spec::{PluginError, Role};

pub(crate) const ROW: KindRow =
    KindRow { kind: Role::DatasetSource, name: "dataset-source", interface: "anagama:plugin/dataset-source" };

/// The calls that both forms of a source implement.
pub(crate) trait RawSource: Send {
    fn next_page(&mut self, from: Option<&str>, max_items: u32) -> Answer<Page>;
}

pub(crate) struct GuardedSource {
    guard: Guard<dyn RawSource>,
}

impl GuardedSource {
    pub(crate) fn new(guard: Guard<dyn RawSource>) -> Self {
        Self { guard }
    }
}

impl DatasetSource for GuardedSource {
    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page, PluginError> {
        let page = self.guard.call(|s| s.next_page(from.as_deref(), max_items));
        let page = page.map_err(|e| {
            let at = from.as_deref().map_or("the first page".to_owned(), |c| format!("the page at {c:?}"));
            self.guard.blame(&at, &e)
        })?;
        // A source that answers with the place it was asked for would be read for ever.
        if page.next.is_some() && page.next == from {
            return Err(self.guard.blame_plugin(
                "next-page",
                PluginError::new(
                    spec::ErrorKind::Internal,
                    "the page ends where it began; the listing would never end",
                ),
            ));
        }
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
    }
}

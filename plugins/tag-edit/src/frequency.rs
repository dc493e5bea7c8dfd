//! How many images have which tag, and what is too rare or too frequent to learn from.

use booru::names::key;
use plugin_sdk::Tag;
use std::collections::{BTreeMap, BTreeSet};

/// Counts over the whole data set.
#[derive(Default)]
pub(crate) struct Counts {
    images: u64,
    tags: BTreeMap<String, u64>,
}

impl Counts {
    /// Counts one image's tags, each once.
    pub(crate) fn add(&mut self, tags: &[Tag]) {
        self.images += 1;
        for key in tags.iter().map(|t| key(&t.name)).collect::<BTreeSet<_>>() {
            *self.tags.entry(key).or_default() += 1;
        }
    }

    pub(crate) fn images(&self) -> u64 {
        self.images
    }

    /// How many images have the tag.
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.tags.get(&key(name)).copied().unwrap_or(0)
    }
}

/// Keep a tag only if enough and not too many images have it.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// 0 or 1: no lower limit.
    pub(crate) min_images: u64,
    /// Share of the images, 1: no upper limit.
    pub(crate) max_share: f64,
}

impl Limits {
    pub(crate) fn active(self) -> bool {
        self.min_images > 1 || self.max_share < 1.0
    }

    pub(crate) fn keeps(self, counts: &Counts, name: &str) -> bool {
        let n = counts.of(name);
        n >= self.min_images && (self.max_share >= 1.0 || n as f64 <= self.max_share * counts.images() as f64)
    }

    /// The tags that the limits drop, with their counts, most frequent first: for the log.
    pub(crate) fn dropped(self, counts: &Counts) -> Vec<(&str, u64)> {
        let mut out: Vec<_> = counts
            .tags
            .iter()
            .filter(|(name, _)| !self.keeps(counts, name))
            .map(|(name, n)| (name.as_str(), *n))
            .collect();
        out.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<Tag> {
        booru::names::list(text).map(|name| Tag { name: name.to_owned(), ..Tag::default() }).collect()
    }

    #[test]
    fn rare_and_frequent_tags_are_dropped() {
        let mut counts = Counts::default();
        for text in ["a, b, b", "a, c", "a, B, long hair", "a, long_hair"] {
            counts.add(&tags(text));
        }
        let limits = Limits { min_images: 2, max_share: 0.75 };
        let kept: Vec<_> = ["a", "b", "c", "long hair"].into_iter().filter(|t| limits.keeps(&counts, t)).collect();
        assert_eq!(kept, ["b", "long hair"]);
        assert_eq!(limits.dropped(&counts), [("a", 4), ("c", 1)]);
    }
}

//! Which tags stand where: sorting, shuffling, categories, first tags, ratings; the head of the list that keeps its place.

use crate::Settings;
use crate::frequency::Counts;
use booru::names::{key, list, matches};
use plugin_sdk::Tag;

/// Names that are ratings on one board or another, where no category says so; those of one word may mean something else.
const RATINGS: [&str; 4] = ["rating:", "rating_", "rated:", "rated_"];

/// A configured order.
pub(crate) struct Order {
    sort: String,
    seed: u32,
    keep_first: usize,
    category_order: Vec<String>,
    first: Vec<String>,
    rating: String,
    max_tags: usize,
}

impl Order {
    pub(crate) fn new(s: &Settings) -> Self {
        Self {
            sort: s.sort.clone(),
            seed: s.seed,
            keep_first: s.keep_first as usize,
            category_order: list(&s.category_order).map(str::to_lowercase).collect(),
            first: list(&s.first).map(key).collect(),
            rating: s.rating.clone(),
            max_tags: s.max_tags as usize,
        }
    }

    /// Puts a picture's tags in order and limits their number. `id` is the picture's: each is shuffled in its own way, and
    /// in the same way each time.
    pub(crate) fn apply(&self, id: &str, tags: &mut Vec<Tag>, counts: &Counts) {
        if self.rating == "drop" {
            tags.retain(|t| !is_rating(t));
        }
        let head = self.keep_first.min(tags.len());
        self.sort(id, &mut tags[head..], counts);
        // Stable sorts: what is equal keeps its order.
        match self.rating.as_str() {
            "first" => tags.sort_by_key(|t| !is_rating(t)),
            "last" => tags.sort_by_key(is_rating),
            _ => {}
        }
        if self.max_tags > 0 && tags.len() > self.max_tags {
            let last = tags.pop().filter(|t| self.rating == "last" && is_rating(t));
            tags.truncate(self.max_tags - usize::from(last.is_some()));
            tags.extend(last);
        }
    }

    fn sort(&self, id: &str, tags: &mut [Tag], counts: &Counts) {
        match self.sort.as_str() {
            "score" => tags.sort_by(|a, b| b.score.unwrap_or(0.0).total_cmp(&a.score.unwrap_or(0.0))),
            "alphabet" => tags.sort_by_key(|t| key(&t.name)),
            "frequency" => tags.sort_by_key(|t| std::cmp::Reverse(counts.of(&t.name))),
            "shuffle" => tags.sort_by_cached_key(|t| self.draw(id, &key(&t.name))),
            _ => {}
        }
        if !self.category_order.is_empty() {
            let place = |tag: &Tag| {
                let category = tag.category.as_deref().unwrap_or("general").to_lowercase();
                self.category_order.iter().position(|c| *c == category).unwrap_or(usize::MAX)
            };
            tags.sort_by_key(place);
        }
        if !self.first.is_empty() {
            let place = |tag: &Tag| self.first.iter().position(|p| matches(p, &key(&tag.name))).unwrap_or(usize::MAX);
            tags.sort_by_key(place);
        }
    }

    /// A number of seed, picture and tag (FNV-1a, mixed).
    fn draw(&self, id: &str, name: &str) -> u64 {
        let bytes = self.seed.to_le_bytes().into_iter().chain(id.bytes()).chain([0]).chain(name.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 29)
    }
}

fn is_rating(tag: &Tag) -> bool {
    let name = key(&tag.name);
    tag.category.as_deref().is_some_and(|c| c.eq_ignore_ascii_case("rating"))
        || RATINGS.iter().any(|r| name.starts_with(r))
}

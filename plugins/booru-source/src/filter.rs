//! What is sent beside the tags, and what of an answer is left out.

use crate::Settings;
use crate::cursor::At;
use crate::dates;
use crate::families::{Family, Paging};
use crate::post::{Post, Rating};
use crate::query::Plan;
use plugin_sdk::{Error, Result};

/// Tags for what a generator made, as `names::key` writes them.
const GENERATED: &[&str] = &["ai-generated", "ai_generated", "ai-assisted", "ai_assisted", "ai_content", "ai-created"];

pub(crate) struct Filter {
    most: Rating,
    score: Option<i64>,
    after: Option<String>,
    before: Option<String>,
    skip_ai: bool,
    min_picture: u32,
}

impl Filter {
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let day = |name: &str, text: &str| match text.trim() {
            "" => Ok(None),
            day if dates::is_day(day) => Ok(Some(day.to_owned())),
            other => Err(Error::invalid_input(format!("{name}: expected a day such as 2026-03-01, found {other:?}"))),
        };
        let (after, before) = (day("after", &settings.after)?, day("before", &settings.before)?);
        if let (Some(a), Some(b)) = (&after, &before)
            && a > b
        {
            return Err(Error::invalid_input(format!(
                "after: {a} is later than `before`, {b}, so nothing can be found"
            )));
        }
        let most = Rating::named(&settings.max_rating)
            .ok_or_else(|| Error::invalid_input(format!("max_rating: no rating `{}`", settings.max_rating)))?;
        let (skip_ai, min_picture) = (settings.skip_ai, settings.min_picture);
        Ok(Self { most, score: settings.min_score, after, before, skip_ai, min_picture })
    }

    /// Everything that the site is asked for, metatags included.
    pub(crate) fn sent(&self, family: &Family, plan: &Plan, at: At) -> Vec<String> {
        let mut out = plan.sent.clone();
        let fits =
            |out: &[String], name: &str| family.free.contains(&name) || family.tag_limit.is_none_or(|l| out.len() < l);
        let rating = family.at_most.get(self.most as usize).copied().flatten();
        out.extend(rating.filter(|_| fits(&plan.sent, "rating")).map(str::to_owned));
        if let (Some(score), Some(front)) = (self.score, family.score)
            && fits(&out, "score")
        {
            out.push(format!("{front}{score}"));
        }
        if family.days && (self.after.is_some() || self.before.is_some()) && fits(&out, "date") {
            let end = |day: &Option<String>| day.clone().unwrap_or_default();
            out.push(format!("date:{}..{}", end(&self.after), end(&self.before)));
        }
        if let (At::Below(id), Paging::IdTag | Paging::Numbered { .. }) = (at, family.paging) {
            out.push(format!("id:<{id}"));
        }
        out
    }

    /// Why a post is left out; none: it stays.
    pub(crate) fn reason(&self, plan: &Plan, post: &Post) -> Option<String> {
        if let Some(gone) = &post.gone {
            return Some(gone.clone());
        }
        let tags = || post.tags.iter().map(|t| t.name.as_str());
        let day = post.date.as_deref();
        if post.rating.is_none_or(|r| r > self.most) {
            return Some(format!("rating above {}", self.most.name()));
        }
        if self.skip_ai && tags().any(|t| GENERATED.contains(&booru::names::key(t).as_str())) {
            return Some("made by a generator".to_owned());
        }
        if self.score.is_some_and(|s| post.score.unwrap_or(0) < s) {
            return Some("score too low".to_owned());
        }
        let early = self.after.as_deref().is_some_and(|a| day.is_none_or(|d| d < a));
        let late = self.before.as_deref().is_some_and(|b| day.is_none_or(|d| d > b));
        if early || late {
            return Some("outside of the days".to_owned());
        }
        if post.width.min(post.height) < self.min_picture {
            return Some("picture too small".to_owned());
        }
        (!plan.fits(tags())).then(|| "tags that were filtered here".to_owned())
    }

    /// Newest first: is everything that can still come too old? `oldest` is the oldest day of a page. A day is left to
    /// clocks in other places.
    pub(crate) fn is_past(&self, oldest: Option<&str>) -> bool {
        match (&self.after, oldest) {
            (Some(after), Some(oldest)) => oldest < after.as_str() && !next_to(oldest, after),
            _ => false,
        }
    }
}

/// May these be days in a row? Months are taken by their ends, which is as near as this needs to be.
fn next_to(day: &str, later: &str) -> bool {
    let number = |d: &str| d.get(8..10).and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
    let (a, b) = (number(day), number(later));
    (day.get(..7) == later.get(..7) && a + 1 == b) || (b == 1 && a >= 28)
}

/// Bytes of the pictures of a page, as far as they are known.
pub(crate) struct Sizes {
    posts: u64,
    known: u64,
    bytes: u64,
    pixels: u64,
}

/// Bytes a pixel where a site does not say sizes: between a drawing as JPEG and as PNG.
const BYTES_A_PIXEL: f64 = 0.4;

/// What the pictures of a page will cost.
pub(crate) fn sizes(posts: &[Post], side: u32) -> Sizes {
    let mut out = Sizes { posts: 0, known: 0, bytes: 0, pixels: 0 };
    for post in posts {
        let Some(version) = post.choose(side) else { continue };
        out.posts += 1;
        match post.bytes.filter(|_| version.original) {
            Some(bytes) => {
                out.known += 1;
                out.bytes += bytes;
            }
            None => out.pixels += u64::from(version.width) * u64::from(version.height),
        }
    }
    out
}

impl Sizes {
    /// In words, for this many posts.
    pub(crate) fn estimate(&self, posts: u64) -> String {
        if self.posts == 0 {
            return "nothing to fetch on the first page".to_owned();
        }
        let mean = (self.bytes as f64 + self.pixels as f64 * BYTES_A_PIXEL) / self.posts as f64;
        let all = mean * posts as f64;
        let (size, unit) = if all < 1e6 {
            (all / 1e3, "kB")
        } else if all < 1e9 {
            (all / 1e6, "MB")
        } else {
            (all / 1e9, "GB")
        };
        let how = if self.known == self.posts { "by the sizes of the first page" } else { "roughly, by pixels" };
        format!("about {size:.1} {unit} to fetch for {posts} of them ({how})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_estimated_from_what_will_be_taken() {
        let mut post = Post { bytes: Some(2_000_000), ..Post::default() };
        post.add(Some("https://x/a.png"), Some(3000), Some(2000), true);
        let text = sizes(&[post.clone(), Post::default()], 0).estimate(10);
        assert_eq!(text, "about 20.0 MB to fetch for 10 of them (by the sizes of the first page)");
        post.add(Some("https://x/b.jpg"), Some(1500), Some(1000), false);
        let text = sizes(&[post], 1000).estimate(1);
        assert_eq!(text, "about 600.0 kB to fetch for 1 of them (roughly, by pixels)");
        assert!(sizes(&[], 0).estimate(0).contains("nothing"));
    }

    #[test]
    fn days_next_to_each_other() {
        assert!(next_to("2026-02-28", "2026-03-01") && next_to("2026-03-04", "2026-03-05"));
        assert!(!next_to("2026-03-03", "2026-03-05") && !next_to("2026-02-05", "2026-03-06"));
    }
}

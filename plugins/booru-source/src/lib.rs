//! A dataset source: the posts of an image board that a search finds.
//!
//! Each family of boards is a row of [`families`]; what the site cannot be asked for is filtered here. The pictures are
//! left to the host, which fetches them, checks their checksums and keeps them. Start at [`Settings`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cursor;
mod dates;
mod done;
mod families;
mod faults;
mod fields;
mod filter;
mod item;
mod post;
mod query;
mod site;
mod xml;

use cursor::{At, Cursor};
use families::Listing;
use filter::Filter;
use plugin_sdk::control::{self, Level};
use plugin_sdk::{DatasetSource, Error, Info, Inputs, Page, Result, export, info};
use post::Post;
use query::{Plan, Query};
use site::{Failure, Site};
use std::collections::{BTreeMap, BTreeSet};

/// Imports what a search on an image board finds: pictures with tags, and whom to credit for them.
#[derive(Inputs)]
pub struct Settings {
    /// What kind of site it is.
    #[input(default = "danbooru", options = ["danbooru", "gelbooru", "gelbooru-0.2", "e621", "moebooru", "philomena"])]
    family: String,
    /// Its address, such as `https://danbooru.donmai.us`.
    #[input(default = "", placeholder = "https://danbooru.donmai.us")]
    base: String,
    /// Tags that every picture must have, with `-` in front those that it must not have; separated by blanks or commas
    /// (Philomena: commas). As many as the site allows are sent, the rarest first; the rest is filtered here.
    #[input(default = "", placeholder = "lighthouse night -text")]
    tags: String,
    /// Tags that no picture may have.
    #[input(default = "")]
    exclude: String,
    /// The strongest rating that is let in.
    #[input(default = "general", options = ["general", "sensitive", "questionable", "explicit"])]
    max_rating: String,
    /// Pictures must have at least this score; without it any will do. A missing score counts as 0.
    min_score: Option<i64>,
    /// First day, as `2026-03-01`.
    #[input(default = "")]
    after: String,
    /// Last day, as `2026-03-31`.
    #[input(default = "")]
    before: String,
    /// Leave out posts that are tagged as made by a generator.
    #[input(default = true)]
    skip_ai: bool,
    /// Leave out pictures whose shorter side has fewer pixels.
    #[input(default = 0, range = 0..=65_536)]
    min_picture: u32,
    /// Take the smallest version whose shorter side has this many pixels: it saves most of the traffic. 0 takes the
    /// original always.
    #[input(default = 1024, range = 0..=65_536)]
    side: u32,
    /// Stop after this many pictures; 0: take all.
    #[input(default = 500, range = 0..=10_000_000)]
    max_posts: u64,
    /// Only count, estimate the size, and take the first page as small previews.
    #[input(default = false)]
    preview_only: bool,
    /// Leave out posts that an earlier run took.
    #[input(default = false)]
    skip_done: bool,
    /// Write tags with underscores, as boards do.
    #[input(default = false)]
    underscores: bool,
    /// Ask for the kinds of tags (artist, character …) where lists do not say them; costs a request or more a page.
    #[input(default = true)]
    tag_kinds: bool,
    /// Name of your account, for sites that sign in with a name and a key.
    #[input(default = "")]
    login: String,
    /// Number of your account, for sites of Gelbooru's kind.
    #[input(default = "")]
    user_id: String,
    /// Name under which the host keeps the key; empty: the site's host name. The key itself never stands here.
    #[input(default = "")]
    secret: String,
    /// How many tags your account may send; 0: as many as anybody may.
    #[input(default = 0, range = 0..=1000)]
    tag_limit: u32,
    /// Posts of one request; 0: as many as the site gives.
    #[input(default = 0, range = 0..=1000)]
    page_size: u32,
    /// Sites of the 0.2 kind answer in either form.
    #[input(default = "json", options = ["json", "xml"])]
    answers: String,
    /// Raise it to ask the site again instead of using the result of an earlier run.
    #[input(default = 0, range = 0..=1_000_000)]
    #[expect(dead_code, reason = "it only makes the node another one for the host's cache")]
    refresh: u32,
}

/// The source.
pub struct BooruSource {
    settings: Settings,
    site: Site,
    query: Query,
    filter: Filter,
    /// Made when the first list is asked for, since it may need to know how frequent the tags are.
    plan: Option<Plan>,
    /// Kinds of tags that were looked up; none: the site does not know it.
    kinds: BTreeMap<String, Option<&'static str>>,
    /// Ids so far, for orders in which a smaller id does not mean that a post is new.
    seen: BTreeSet<u64>,
    /// Pages in a row without anything new.
    stale: u32,
    /// What was left out, by reason.
    left_out: BTreeMap<String, u64>,
    /// The page that was given last: its cursor, and ids that count as done when the host comes back with it.
    unconfirmed: Option<(String, Vec<u64>)>,
    done: done::Done,
}

/// Pages in a row that hold nothing new before the list counts as ended.
const STALE_PAGES: u32 = 3;

impl DatasetSource for BooruSource {
    type Settings = Settings;
    const INFO: Info = Info {
        category: "dataset",
        description: "Imports what a search on an image board finds: pictures with tags, and whom to credit for them.",
        aliases: &["danbooru", "gelbooru", "safebooru", "e621", "moebooru", "philomena"],
        ..info!("anagama.booru-source", "Image board")
    };

    fn open(settings: Settings) -> Result<Self> {
        let site = Site::new(&settings)?;
        let query = Query::parse(site.family, &settings.tags, &settings.exclude)?;
        let filter = Filter::new(&settings)?;
        let done = done::Done::new(site.family.name, &site.base);
        Ok(Self {
            settings,
            site,
            query,
            filter,
            plan: None,
            kinds: BTreeMap::new(),
            seen: BTreeSet::new(),
            stale: 0,
            left_out: BTreeMap::new(),
            unconfirmed: None,
            done,
        })
    }

    fn next_page(&mut self, from: Option<String>, max_items: u32) -> Result<Page> {
        let mut cursor = match &from {
            Some(text) => Cursor::parse(text)?,
            None => self.start(max_items),
        };
        if let Some((_, ids)) = self.unconfirmed.take_if(|(given, _)| Some(&*given) == from.as_ref()) {
            self.done.add(&ids);
        }
        if cursor.at == At::End {
            self.say_end(&cursor);
            return Ok(Page { total: Some(cursor.given), ..Page::default() });
        }
        if self.settings.skip_done {
            self.done.load()?;
        }
        let first = from.is_none();
        let listing = self.list(&mut cursor)?;
        let here = cursor.at;
        if first {
            self.say_start(&mut cursor, &listing)?;
        }
        let posts = self.advance(&mut cursor, listing)?;
        self.page(cursor, here, posts, max_items.max(1) as usize)
    }
}

impl BooruSource {
    fn start(&self, max_items: u32) -> Cursor {
        let most = self.site.family.page_size;
        let wanted = if self.settings.page_size == 0 { most } else { self.settings.page_size };
        let limit = wanted.min(max_items).max(1);
        let at = self.site.family.paging.start();
        Cursor { at, limit, low: None, listed: 0, given: 0, total: None }
    }

    /// The posts at a cursor. Where numbered pages end, the list goes on by ids if that is safe.
    fn list(&mut self, cursor: &mut Cursor) -> Result<Listing> {
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => self.make_plan()?,
        };
        let plan = self.plan.insert(plan);
        loop {
            let tags = self.filter.sent(self.site.family, plan, cursor.at);
            match self.site.list(&tags, cursor.limit, cursor.at) {
                Ok(mut listing) => {
                    if self.settings.tag_kinds {
                        self.site.add_kinds(&mut self.kinds, &mut listing.posts)?;
                    }
                    return Ok(listing);
                }
                Err(Failure::Fault(f)) if f.what == faults::What::TooDeep => {
                    match (self.site.family.paging, cursor.at, cursor.low) {
                        (families::Paging::Numbered { then_id_tag: true, .. }, At::Page(_), Some(low))
                            if !self.query.is_sorted() =>
                        {
                            cursor.at = At::Below(low);
                        }
                        _ => return Err(f.error(&self.site.name())),
                    }
                }
                Err(failure) => return Err(self.site.error(failure)),
            }
        }
    }

    /// Divides the search; asks how frequent the tags are if there are too many of them.
    fn make_plan(&self) -> Result<Plan> {
        let family = self.site.family;
        let limit = match self.settings.tag_limit {
            0 => family.tag_limit,
            n => Some(n as usize),
        };
        let counts = match &family.tags {
            Some(tags) if self.query.is_too_long(family, limit) => {
                let names = self.query.wanted.iter().chain(&self.query.unwanted).filter(|n| !n.contains('*'));
                self.site.tag_counts(tags, &names.cloned().collect::<Vec<_>>())?
            }
            _ => BTreeMap::new(),
        };
        let plan = self.query.plan(family, limit, |name| counts.get(name).copied())?;
        if !plan.wanted.is_empty() || !plan.unwanted.is_empty() {
            let here: Vec<String> =
                plan.wanted.iter().cloned().chain(plan.unwanted.iter().map(|n| format!("-{n}"))).collect();
            let sent = plan.sent.join(family.separator);
            control::log(Level::Info, &format!("the site is asked for \"{sent}\"; filtered here: {}", here.join(" ")));
        }
        Ok(plan)
    }

    /// Says how many there are and how large they will be, before anything is fetched.
    fn say_start(&self, cursor: &mut Cursor, listing: &Listing) -> Result<()> {
        let plan = self.plan.clone().unwrap_or_default();
        let tags = self.filter.sent(self.site.family, &plan, cursor.at);
        cursor.total = match listing.total {
            Some(total) => Some(total),
            None => self.site.count(&tags, cursor.limit, listing)?,
        };
        let sizes = filter::sizes(&listing.posts, self.settings.side);
        let all = cursor.total.map_or(listing.posts.len() as u64, |t| t);
        let taken = if self.settings.max_posts == 0 { all } else { all.min(self.settings.max_posts) };
        let count = match cursor.total {
            Some(total) => format!("{total} posts fit what was sent"),
            None => {
                format!("at least {} posts fit what was sent (this site does not say how many)", listing.posts.len())
            }
        };
        control::log(Level::Info, &format!("{}: {count}; {}", self.site.name(), sizes.estimate(taken)));
        control::progress(0, cursor.total, "counted");
        Ok(())
    }

    /// Leaves out what was listed before, and moves the cursor behind the listing.
    fn advance(&mut self, cursor: &mut Cursor, listing: Listing) -> Result<Vec<Post>> {
        let (family, sorted) = (self.site.family, self.query.is_sorted());
        let listed = listing.posts.len();
        let low = listing.posts.iter().map(|p| p.id).min();
        let is_new = |p: &Post, seen: &mut BTreeSet<u64>| match (sorted, cursor.low) {
            (false, Some(low)) => p.id < low && seen.insert(p.id),
            _ => seen.insert(p.id),
        };
        let seen = &mut self.seen;
        if !sorted {
            // Only ids of one answer can repeat each other; all earlier ones are above the lowest.
            seen.clear();
        }
        let posts: Vec<Post> = listing.posts.into_iter().filter(|p| is_new(p, seen)).collect();
        cursor.listed += posts.len() as u64;
        cursor.low = match (cursor.low, low) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let stale = listed > 0 && posts.is_empty();
        cursor.at = match (cursor.at, cursor.low) {
            _ if listed == 0 => At::End,
            (At::Below(id), _) if stale => {
                return Err(Error::unsupported(format!(
                    "{}: asked for posts below {id}, and found none of those; the site does not go on by ids: check \
                     `family`",
                    self.site.name()
                )));
            }
            (At::Below(_), Some(low)) => At::Below(low),
            (At::Page(_), Some(low)) if family.paging.by_id() && !sorted => At::Below(low),
            (At::Page(n), _) => At::Page(n.saturating_add(1)),
            (at, _) => at,
        };
        // One page may only repeat what was there, when posts were added meanwhile.
        self.stale = if stale { self.stale + 1 } else { 0 };
        if self.stale >= STALE_PAGES {
            cursor.at = At::End;
        }
        let oldest = posts.iter().filter_map(|p| p.date.as_deref()).min();
        if !sorted && self.filter.is_past(oldest) {
            cursor.at = At::End;
        }
        Ok(posts)
    }

    /// Filters posts and makes items of those that stay, at most as many as the host takes. `here` is where they were
    /// listed.
    fn page(&mut self, mut cursor: Cursor, here: At, posts: Vec<Post>, most: usize) -> Result<Page> {
        let plan = self.plan.clone().unwrap_or_default();
        let (mut items, mut ids) = (Vec::new(), Vec::new());
        let mut last = None;
        for post in posts {
            // Some sites give more than they were asked for; the rest comes when this page is listed again.
            if let (true, Some(last)) = (items.len() >= most && !self.query.is_sorted(), last) {
                cursor.low = Some(last);
                cursor.at = if self.site.family.paging.by_id() { At::Below(last) } else { here };
                break;
            }
            last = Some(post.id);
            if self.settings.max_posts > 0 && cursor.given >= self.settings.max_posts {
                cursor.at = At::End;
                break;
            }
            let reason = match self.filter.reason(&plan, &post) {
                None if self.settings.skip_done && self.done.has(post.id) => Some("taken by an earlier run".to_owned()),
                reason => reason,
            };
            if let Some(reason) = reason {
                *self.left_out.entry(reason).or_default() += 1;
                continue;
            }
            if let Some(item) = item::item(&self.settings, &self.site, &post) {
                items.push(item);
                ids.push(post.id);
                cursor.given += 1;
            }
        }
        if self.settings.preview_only || self.settings.max_posts > 0 && cursor.given >= self.settings.max_posts {
            cursor.at = At::End;
        }
        let total = match (cursor.total, self.settings.max_posts) {
            (total, 0) => total,
            (total, most) => Some(total.unwrap_or(most).min(most)),
        };
        let next = cursor.write();
        self.unconfirmed = (!self.settings.preview_only).then(|| (next.clone(), ids));
        Ok(Page { items, next: Some(next), total })
    }

    fn say_end(&self, cursor: &Cursor) {
        let mut text = format!("{}: took {} of {} posts", self.site.name(), cursor.given, cursor.listed);
        if self.settings.preview_only {
            text.push_str(" as previews only; switch `preview_only` off to fetch the pictures");
        }
        for (reason, count) in &self.left_out {
            text.push_str(&format!("; {count} left out: {reason}"));
        }
        control::log(Level::Info, &text);
    }
}

export!(BooruSource: DatasetSource);

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;

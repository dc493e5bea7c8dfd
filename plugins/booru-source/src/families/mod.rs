//! The families of image boards: one row of a table each, one file for each row.

mod danbooru;
mod e621;
mod gelbooru;
mod gelbooru02;
mod moebooru;
mod philomena;

use crate::cursor::At;
use crate::faults::Fault;
use crate::post::{Post, Rating};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// How a kind of site is asked and read.
pub(crate) struct Family {
    /// As the setting `family` names it.
    pub(crate) name: &'static str,
    /// Most posts of one answer.
    pub(crate) page_size: u32,
    /// Tags that a search may have without an account; none: no known limit.
    pub(crate) tag_limit: Option<usize>,
    /// Metatags that do not count as tags.
    pub(crate) free: &'static [&'static str],
    /// Metatags that count.
    pub(crate) metatags: &'static [&'static str],
    /// Between tags of a search.
    pub(crate) separator: &'static str,
    pub(crate) paging: Paging,
    /// Path and query of a list.
    pub(crate) list: fn(&Ask) -> String,
    pub(crate) parse: fn(&[u8]) -> Result<Listing, Fault>,
    /// What to send for "at most general", "at most sensitive", "at most questionable"; none: filtered here only.
    pub(crate) at_most: [Option<&'static str>; 3],
    /// What stands in front of a least score; none: filtered here only.
    pub(crate) score: Option<&'static str>,
    /// Days can be sent as `date:A..B`; else they are filtered here only.
    pub(crate) days: bool,
    pub(crate) sign_in: SignIn,
    /// Path and query of the number of posts, for sites whose lists do not say it.
    pub(crate) count: Option<Count>,
    pub(crate) tags: Option<Tags>,
    /// Path of a post's page before its id.
    pub(crate) page: &'static str,
}

/// How lists go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paging {
    /// `b<id>` in place of a page number.
    Before,
    /// A tag `id:<N`.
    IdTag,
    /// Numbers from this one; with `IdTag` where they end.
    Numbered { first: u32, then_id_tag: bool },
}

impl Paging {
    /// The first page; with an order of its own a list can only be numbered.
    pub(crate) fn start(self) -> At {
        match self {
            Self::Before => At::Page(1),
            Self::IdTag => At::Page(0),
            Self::Numbered { first, .. } => At::Page(first),
        }
    }

    /// May a list be continued by ids?
    pub(crate) fn by_id(self) -> bool {
        matches!(self, Self::Before | Self::IdTag)
    }
}

/// What a site wants to know of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// `login` and a key, if there is an account.
    Login { key: &'static str },
    /// `user_id` and `api_key`.
    UserId { needed: bool },
    /// A key alone.
    Key { key: &'static str },
}

/// How to ask for the number of posts.
pub(crate) struct Count {
    pub(crate) path: fn(&Ask) -> String,
    pub(crate) parse: fn(&[u8]) -> Option<u64>,
}

/// How to ask about tags by name.
pub(crate) struct Tags {
    /// For a list of names that is encoded already.
    pub(crate) path: fn(&[String]) -> String,
    pub(crate) parse: fn(&[u8]) -> Result<Vec<TagInfo>, Fault>,
    /// The lists do not say the kinds of tags.
    pub(crate) for_kinds: bool,
}

pub(crate) struct TagInfo {
    pub(crate) name: String,
    pub(crate) posts: u64,
    pub(crate) kind: Option<&'static str>,
}

/// One request for a list.
pub(crate) struct Ask {
    /// Joined and percent-encoded.
    pub(crate) tags: String,
    pub(crate) limit: u32,
    pub(crate) at: At,
    pub(crate) xml: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) posts: Vec<Post>,
    /// How many there are in all, if the answer says so.
    pub(crate) total: Option<u64>,
}

pub(crate) const FAMILIES: &[Family] =
    &[danbooru::FAMILY, gelbooru::FAMILY, gelbooru02::FAMILY, e621::FAMILY, moebooru::FAMILY, philomena::FAMILY];

pub(crate) fn named(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|f| f.name == name)
}

/// Rating of one of a site's words.
fn rating(words: &[(&str, Rating)], word: &str) -> Option<Rating> {
    words.iter().find(|(w, _)| w.eq_ignore_ascii_case(word)).map(|(_, r)| *r)
}

pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests;

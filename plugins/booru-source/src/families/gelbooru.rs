//! Gelbooru, which answers nobody without a key and the number of an account.

use super::{Ask, Family, Listing, Paging, SignIn, TagInfo, Tags};
use crate::cursor::At;
use crate::faults::{Fault, json, of_body};
use crate::post::{Post, Rating, tags};
use crate::{dates, fields};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "gelbooru",
    page_size: 100,
    tag_limit: None,
    free: METATAGS,
    metatags: &[],
    separator: " ",
    paging: Paging::IdTag,
    list,
    parse,
    at_most: [Some("rating:general"), Some("-rating:questionable -rating:explicit"), Some("-rating:explicit")],
    score: Some("score:>="),
    days: false,
    sign_in: SignIn::UserId { needed: true },
    count: None,
    tags: Some(Tags { path: tag_path, parse: parse_tags, for_kinds: true }),
    page: "/index.php?page=post&s=view&id=",
};

pub(super) const METATAGS: &[&str] =
    &["fav", "height", "id", "md5", "parent", "pool", "rating", "score", "sort", "source", "updated", "user", "width"];

/// Both spellings of the mildest are in use.
pub(super) const RATINGS: &[(&str, Rating)] = &[
    ("general", Rating::General),
    ("safe", Rating::General),
    ("g", Rating::General),
    ("s", Rating::General),
    ("sensitive", Rating::Sensitive),
    ("questionable", Rating::Questionable),
    ("q", Rating::Questionable),
    ("explicit", Rating::Explicit),
    ("e", Rating::Explicit),
];

fn list(ask: &Ask) -> String {
    let json = if ask.xml { "" } else { "&json=1" };
    let page = match ask.at {
        At::Page(n) => format!("&pid={n}"),
        _ => String::new(),
    };
    format!("/index.php?page=dapi&s=post&q=index{json}&limit={}&tags={}{page}", ask.limit, ask.tags)
}

pub(super) const LIST: fn(&Ask) -> String = list;

fn parse(body: &[u8]) -> Result<Listing, Fault> {
    let value = json(body)?;
    if !value.is_object() || value.get("@attributes").is_none() && value.get("post").is_none() {
        return Err(of_body(body));
    }
    // Without a result the key is missing; with one it may hold the post itself.
    let posts = fields::list(value.get("post")).into_iter().filter_map(post).collect();
    Ok(Listing { posts, total: value.get("@attributes").and_then(|a| fields::count(a, "count")) })
}

/// A post of this family or of the older one, in JSON or as attributes of XML.
pub(super) fn post(p: &Value) -> Option<Post> {
    let day = fields::text(p, "created_at")
        .and_then(dates::of_text)
        .or_else(|| fields::number(p, "change").and_then(dates::of_unix));
    let source = fields::text(p, "source").map(fields::unescaped);
    let mut out = Post {
        id: fields::count(p, "id")?,
        tags: tags(&fields::unescaped(fields::text(p, "tags").unwrap_or_default()), None),
        rating: super::rating(RATINGS, fields::text(p, "rating").unwrap_or_default()),
        score: fields::number(p, "score"),
        date: day,
        width: fields::count(p, "width").unwrap_or(0) as u32,
        height: fields::count(p, "height").unwrap_or(0) as u32,
        digest: fields::text(p, "md5").or_else(|| fields::text(p, "hash")).map(|m| format!("md5:{m}")),
        source,
        ..Post::default()
    };
    let file = fields::text(p, "file_url");
    out.add(file, fields::number(p, "width"), fields::number(p, "height"), true);
    if out.versions.is_empty() {
        return Some(out.settle(file));
    }
    let (sample, width) = (fields::text(p, "sample_url"), fields::number(p, "sample_width"));
    if width.is_some_and(|w| w > 0) {
        out.add(sample, width, fields::number(p, "sample_height"), false);
    }
    let (preview, width) = (fields::text(p, "preview_url"), fields::number(p, "preview_width"));
    // Sites that do not say the preview's size make it fit into 150 pixels.
    let fit = |side: Option<i64>| Some(side.filter(|s| *s > 0).unwrap_or(150));
    out.add(preview, fit(width), fit(fields::number(p, "preview_height")), false);
    Some(out.settle(file))
}

fn tag_path(names: &[String]) -> String {
    format!("/index.php?page=dapi&s=tag&q=index&json=1&limit=100&names={}", names.join("%20"))
}

fn parse_tags(body: &[u8]) -> Result<Vec<TagInfo>, Fault> {
    let value = json(body)?;
    let tag = |t: &&Value| {
        let kind = match fields::number(t, "type") {
            Some(0) => Some("general"),
            Some(1) => Some("artist"),
            Some(3) => Some("copyright"),
            Some(4) => Some("character"),
            Some(5) => Some("meta"),
            _ => None,
        };
        let name = fields::unescaped(fields::text(t, "name")?);
        Some(TagInfo { name, posts: fields::count(t, "count").unwrap_or(0), kind })
    };
    Ok(fields::list(value.get("tag")).iter().filter_map(tag).collect())
}

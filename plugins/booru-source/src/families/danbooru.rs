//! Danbooru 2.

use super::{Ask, Count, Family, Listing, Paging, SignIn, TagInfo, Tags};
use crate::cursor::At;
use crate::faults::{Fault, json};
use crate::post::{Post, PostTag, Rating, tags};
use crate::{dates, fields};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "danbooru",
    page_size: 200,
    tag_limit: Some(2),
    free: &[
        "age", "date", "filesize", "filetype", "has", "height", "id", "is", "limit", "md5", "mpixels", "rating",
        "ratio", "score", "status", "width",
    ],
    metatags: &[
        "approver",
        "arttags",
        "chartags",
        "child",
        "comment",
        "copytags",
        "downvotes",
        "duration",
        "fav",
        "favcount",
        "gentags",
        "metatags",
        "note",
        "order",
        "ordfav",
        "ordpool",
        "parent",
        "pixiv",
        "pool",
        "source",
        "tagcount",
        "upvotes",
        "user",
    ],
    separator: " ",
    paging: Paging::Before,
    list,
    parse,
    at_most: [Some("rating:g"), Some("rating:g,s"), Some("-rating:e")],
    score: Some("score:>="),
    days: true,
    sign_in: SignIn::Login { key: "api_key" },
    count: Some(Count { path: |ask| format!("/counts/posts.json?tags={}", ask.tags), parse: count }),
    tags: Some(Tags { path: tag_path, parse: parse_tags, for_kinds: false }),
    page: "/posts/",
};

const RATINGS: &[(&str, Rating)] =
    &[("g", Rating::General), ("s", Rating::Sensitive), ("q", Rating::Questionable), ("e", Rating::Explicit)];

fn list(ask: &Ask) -> String {
    format!("/posts.json?limit={}&tags={}{}", ask.limit, ask.tags, page(ask.at))
}

/// `&page=`, shared with e621.
pub(super) fn page(at: At) -> String {
    match at {
        At::Below(id) => format!("&page=b{id}"),
        At::Page(n) if n > 1 => format!("&page={n}"),
        _ => String::new(),
    }
}

fn parse(body: &[u8]) -> Result<Listing, Fault> {
    let value = json(body)?;
    let Value::Array(posts) = &value else { return Err(crate::faults::of_body(body)) };
    Ok(Listing { posts: posts.iter().filter_map(post).collect(), total: None })
}

fn post(p: &Value) -> Option<Post> {
    let mut kinds: Vec<PostTag> = Vec::new();
    for kind in ["artist", "character", "copyright", "general", "meta"] {
        kinds.extend(tags(fields::text(p, &format!("tag_string_{kind}")).unwrap_or_default(), Some(kind)));
    }
    if kinds.is_empty() {
        kinds = tags(fields::text(p, "tag_string").unwrap_or_default(), None);
    }
    let mut out = Post {
        id: fields::count(p, "id")?,
        tags: kinds,
        rating: super::rating(RATINGS, fields::text(p, "rating").unwrap_or_default()),
        score: fields::number(p, "score"),
        date: fields::text(p, "created_at").and_then(dates::of_text),
        width: fields::count(p, "image_width").unwrap_or(0) as u32,
        height: fields::count(p, "image_height").unwrap_or(0) as u32,
        bytes: fields::count(p, "file_size"),
        digest: fields::text(p, "md5").map(|m| format!("md5:{m}")),
        source: fields::text(p, "source").map(str::to_owned),
        ..Post::default()
    };
    let (file, large) = (fields::text(p, "file_url"), fields::text(p, "large_file_url"));
    let (width, height) = (fields::number(p, "image_width"), fields::number(p, "image_height"));
    out.add(file, width, height, true);
    if out.versions.is_empty() {
        // Frames in a zip and videos: only a large version that is a picture stands for the whole.
        out.add(large, width, height, false);
        return Some(out.settle(file));
    }
    for variant in fields::list(p.get("media_asset").and_then(|m| m.get("variants"))) {
        if fields::text(variant, "type") != Some("original") {
            let url = fields::text(variant, "url");
            out.add(url, fields::number(variant, "width"), fields::number(variant, "height"), false);
        }
    }
    Some(out.settle(file))
}

fn count(body: &[u8]) -> Option<u64> {
    fields::count(json(body).ok()?.get("counts")?, "posts")
}

fn tag_path(names: &[String]) -> String {
    format!("/tags.json?limit=1000&search%5Bname_comma%5D={}", names.join("%2C"))
}

fn parse_tags(body: &[u8]) -> Result<Vec<TagInfo>, Fault> {
    let value = json(body)?;
    let tag = |t: &&Value| {
        let kind = match fields::number(t, "category") {
            Some(1) => Some("artist"),
            Some(3) => Some("copyright"),
            Some(4) => Some("character"),
            Some(5) => Some("meta"),
            _ => Some("general"),
        };
        Some(TagInfo { name: fields::text(t, "name")?.to_owned(), posts: fields::count(t, "post_count")?, kind })
    };
    Ok(fields::list(Some(&value)).iter().filter_map(tag).collect())
}

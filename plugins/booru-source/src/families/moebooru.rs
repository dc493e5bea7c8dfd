//! Moebooru: yande.re, konachan and others.

use super::{Ask, Family, Listing, Paging, SignIn};
use crate::cursor::At;
use crate::faults::{Fault, json, of_body};
use crate::post::{Post, Rating, tags};
use crate::{dates, fields};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "moebooru",
    page_size: 100,
    tag_limit: Some(6),
    free: &[],
    metatags: &[
        "date", "favcount", "height", "holds", "id", "limit", "md5", "mpixels", "order", "parent", "pending", "pool",
        "rating", "ratio", "score", "source", "user", "vote", "width",
    ],
    separator: " ",
    paging: Paging::Numbered { first: 1, then_id_tag: false },
    list,
    parse,
    at_most: [Some("rating:s"), Some("rating:s"), Some("-rating:e")],
    score: Some("score:>="),
    days: false,
    sign_in: SignIn::Login { key: "password_hash" },
    count: None,
    tags: None,
    page: "/post/show/",
};

const RATINGS: &[(&str, Rating)] = &[("s", Rating::General), ("q", Rating::Questionable), ("e", Rating::Explicit)];

fn list(ask: &Ask) -> String {
    let page = match ask.at {
        At::Page(n) => n,
        _ => 1,
    };
    // The second version of the interface says the kinds of tags in the same answer.
    format!("/post.json?api_version=2&include_tags=1&limit={}&tags={}&page={page}", ask.limit, ask.tags)
}

fn parse(body: &[u8]) -> Result<Listing, Fault> {
    let value = json(body)?;
    let (posts, kinds) = match &value {
        Value::Array(posts) => (posts, None),
        Value::Object(all) => match all.get("posts") {
            Some(Value::Array(posts)) => (posts, all.get("tags")),
            _ => return Err(of_body(body)),
        },
        _ => return Err(of_body(body)),
    };
    Ok(Listing { posts: posts.iter().filter_map(|p| post(p, kinds)).collect(), total: None })
}

/// Notes on a file's faults are what other families call meta.
fn kind(word: &str) -> &str {
    if word == "faults" { "meta" } else { word }
}

fn post(p: &Value, kinds: Option<&Value>) -> Option<Post> {
    let mut found = tags(fields::text(p, "tags").unwrap_or_default(), None);
    if let Some(kinds) = kinds {
        for tag in &mut found {
            tag.kind = fields::text(kinds, &tag.name).map(|k| kind(k).to_owned());
        }
    }
    let mut out = Post {
        id: fields::count(p, "id")?,
        tags: found,
        rating: super::rating(RATINGS, fields::text(p, "rating").unwrap_or_default()),
        score: fields::number(p, "score"),
        date: fields::number(p, "created_at").and_then(dates::of_unix),
        width: fields::count(p, "width").unwrap_or(0) as u32,
        height: fields::count(p, "height").unwrap_or(0) as u32,
        bytes: fields::count(p, "file_size"),
        digest: fields::text(p, "md5").map(|m| format!("md5:{m}")),
        source: fields::text(p, "source").map(str::to_owned),
        ..Post::default()
    };
    let file = fields::text(p, "file_url");
    if fields::text(p, "status") == Some("deleted") {
        out.gone = Some("removed or hidden by the site".to_owned());
        return Some(out);
    }
    out.add(file, fields::number(p, "width"), fields::number(p, "height"), true);
    if out.versions.is_empty() {
        return Some(out.settle(file));
    }
    for (url, size) in [("jpeg_url", "jpeg"), ("sample_url", "sample"), ("preview_url", "actual_preview")] {
        let side = |name: &str| fields::number(p, &format!("{size}_{name}"));
        out.add(fields::text(p, url), side("width"), side("height"), false);
    }
    Some(out.settle(file))
}

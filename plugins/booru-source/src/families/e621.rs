//! e621 and e926.

use super::danbooru::page;
use super::{Ask, Family, Listing, Paging, SignIn};
use crate::faults::{Fault, json, of_body};
use crate::post::{Post, PostTag, Rating};
use crate::{dates, fields};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "e621",
    page_size: 320,
    tag_limit: Some(40),
    free: &[],
    metatags: &[
        "date",
        "description",
        "fav",
        "favcount",
        "filesize",
        "height",
        "id",
        "limit",
        "md5",
        "mpixels",
        "order",
        "parent",
        "pool",
        "rating",
        "ratio",
        "score",
        "set",
        "source",
        "status",
        "tagcount",
        "type",
        "user",
        "width",
    ],
    separator: " ",
    paging: Paging::Before,
    list,
    parse,
    at_most: [Some("rating:s"), Some("rating:s"), Some("-rating:e")],
    score: Some("score:>="),
    days: true,
    sign_in: SignIn::Login { key: "api_key" },
    count: None,
    tags: None,
    page: "/posts/",
};

const RATINGS: &[(&str, Rating)] = &[("s", Rating::General), ("q", Rating::Questionable), ("e", Rating::Explicit)];

fn list(ask: &Ask) -> String {
    format!("/posts.json?limit={}&tags={}{}", ask.limit, ask.tags, page(ask.at))
}

fn parse(body: &[u8]) -> Result<Listing, Fault> {
    let value = json(body)?;
    let Some(Value::Array(posts)) = value.get("posts") else { return Err(of_body(body)) };
    Ok(Listing { posts: posts.iter().filter_map(post).collect(), total: None })
}

fn post(p: &Value) -> Option<Post> {
    let null = Value::Null;
    let file = p.get("file").unwrap_or(&null);
    let mut out = Post {
        id: fields::count(p, "id")?,
        rating: super::rating(RATINGS, fields::text(p, "rating").unwrap_or_default()),
        score: p.get("score").and_then(|s| fields::number(s, "total")),
        date: fields::text(p, "created_at").and_then(dates::of_text),
        width: fields::count(file, "width").unwrap_or(0) as u32,
        height: fields::count(file, "height").unwrap_or(0) as u32,
        bytes: fields::count(file, "size"),
        digest: fields::text(file, "md5").map(|m| format!("md5:{m}")),
        source: fields::list(p.get("sources")).first().and_then(|s| s.as_str()).map(str::to_owned),
        ..Post::default()
    };
    if let Some(Value::Object(kinds)) = p.get("tags") {
        for (kind, names) in kinds {
            let names =
                fields::list(Some(names)).into_iter().filter_map(Value::as_str).filter(|n| !n.trim().is_empty());
            out.tags.extend(names.map(|n| PostTag { name: n.to_owned(), kind: Some(kind.clone()) }));
        }
    }
    let deleted = p.get("flags").is_some_and(|f| fields::truth(f, "deleted"));
    let url = fields::text(file, "url");
    if deleted {
        out.gone = Some("removed or hidden by the site".to_owned());
        return Some(out);
    }
    out.add(url, fields::number(file, "width"), fields::number(file, "height"), true);
    if out.versions.is_empty() {
        return Some(out.settle(url));
    }
    let sample = p.get("sample").unwrap_or(&null);
    if fields::truth(sample, "has") {
        let size = (fields::number(sample, "width"), fields::number(sample, "height"));
        out.add(fields::text(sample, "url"), size.0, size.1, false);
    }
    let preview = p.get("preview").unwrap_or(&null);
    out.add(fields::text(preview, "url"), fields::number(preview, "width"), fields::number(preview, "height"), false);
    Some(out.settle(url))
}

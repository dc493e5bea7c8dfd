//! Philomena: Derpibooru and others.

use super::{Ask, Family, Listing, Paging, SignIn};
use crate::cursor::At;
use crate::faults::{Fault, json, of_body};
use crate::post::{Post, PostTag, Rating};
use crate::{dates, fields};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "philomena",
    page_size: 50,
    tag_limit: None,
    free: &[],
    metatags: &[
        "aspect_ratio",
        "comment_count",
        "created_at",
        "faved_by",
        "faves",
        "first_seen_at",
        "height",
        "id",
        "mime_type",
        "orig_sha512_hash",
        "score",
        "sha512_hash",
        "size",
        "source_url",
        "tag_count",
        "uploader",
        "upvotes",
        "width",
        "wilson_score",
    ],
    separator: ", ",
    paging: Paging::Numbered { first: 1, then_id_tag: false },
    list,
    parse,
    at_most: [Some("safe"), Some("(safe || suggestive)"), Some("-explicit")],
    score: Some("score.gte:"),
    days: false,
    sign_in: SignIn::Key { key: "key" },
    count: None,
    tags: None,
    page: "/images/",
};

/// Ratings are tags here; several may be on one picture.
const RATINGS: &[(&str, Rating)] = &[
    ("safe", Rating::General),
    ("suggestive", Rating::Sensitive),
    ("questionable", Rating::Questionable),
    ("semi-grimdark", Rating::Questionable),
    ("explicit", Rating::Explicit),
    ("grimdark", Rating::Explicit),
    ("grotesque", Rating::Explicit),
];

/// Boxes into which the smaller sizes are made to fit.
const SIZES: &[(&str, u32, u32)] =
    &[("tall", 1024, 4096), ("large", 1280, 1024), ("medium", 800, 600), ("small", 320, 240), ("thumb", 250, 250)];

/// Prefixes of tags, and the kinds they stand for.
const KINDS: &[(&str, &str)] = &[
    ("artist", "artist"),
    ("editor", "artist"),
    ("photographer", "artist"),
    ("oc", "character"),
    ("series", "copyright"),
    ("comic", "copyright"),
    ("fanfic", "copyright"),
    ("spoiler", "meta"),
];

fn list(ask: &Ask) -> String {
    let page = match ask.at {
        At::Page(n) => n,
        _ => 1,
    };
    format!("/api/v1/json/search/images?per_page={}&q={}&page={page}", ask.limit, ask.tags)
}

fn parse(body: &[u8]) -> Result<Listing, Fault> {
    let value = json(body)?;
    let Some(Value::Array(images)) = value.get("images") else { return Err(of_body(body)) };
    Ok(Listing { posts: images.iter().filter_map(post).collect(), total: fields::count(&value, "total") })
}

fn post(p: &Value) -> Option<Post> {
    let id = fields::count(p, "id")?;
    if fields::truth(p, "hidden_from_users") {
        let gone = match (fields::number(p, "duplicate_of"), fields::text(p, "deletion_reason")) {
            (Some(_), _) => "merged into another post",
            _ => "removed or hidden by the site",
        };
        return Some(Post { id, gone: Some(gone.to_owned()), ..Post::default() });
    }
    let names = fields::list(p.get("tags")).into_iter().filter_map(Value::as_str);
    let names: Vec<&str> = names.filter(|n| !n.trim().is_empty()).collect();
    let rating = names.iter().filter_map(|n| super::rating(RATINGS, n)).max();
    let plain = names.iter().filter(|n| super::rating(RATINGS, n).is_none());
    let mut out = Post {
        id,
        tags: plain.map(|n| tag(n)).collect(),
        rating,
        score: fields::number(p, "score"),
        date: fields::text(p, "created_at").and_then(dates::of_text),
        width: fields::count(p, "width").unwrap_or(0) as u32,
        height: fields::count(p, "height").unwrap_or(0) as u32,
        bytes: fields::count(p, "size"),
        digest: fields::text(p, "sha512_hash").map(|h| format!("sha512:{h}")),
        source: fields::text(p, "source_url").map(str::to_owned),
        ..Post::default()
    };
    let sizes = p.get("representations").unwrap_or(&Value::Null);
    let file = fields::text(p, "view_url").or_else(|| fields::text(sizes, "full"));
    out.add(file, fields::number(p, "width"), fields::number(p, "height"), true);
    if out.versions.is_empty() {
        return Some(out.settle(file));
    }
    for (name, width, height) in SIZES {
        let (w, h) = fitted(out.width, out.height, *width, *height);
        out.add(fields::text(sizes, name), Some(w.into()), Some(h.into()), false);
    }
    Some(out.settle(file))
}

/// Width and height after fitting into a box; nothing is enlarged.
fn fitted(width: u32, height: u32, most_wide: u32, most_high: u32) -> (u32, u32) {
    let scale = (f64::from(most_wide) / f64::from(width.max(1))).min(f64::from(most_high) / f64::from(height.max(1)));
    let side = |n: u32| (f64::from(n) * scale.min(1.0)).round() as u32;
    (side(width), side(height))
}

fn tag(name: &str) -> PostTag {
    let found = name.split_once(':').and_then(|(prefix, rest)| {
        let (_, kind) = KINDS.iter().find(|(p, _)| *p == prefix)?;
        Some((rest, *kind)).filter(|(rest, _)| !rest.is_empty())
    });
    match found {
        Some((rest, kind)) => PostTag { name: rest.to_owned(), kind: Some(kind.to_owned()) },
        None => PostTag { name: name.to_owned(), kind: None },
    }
}

//! The older 0.2 kind of Gelbooru's interface, in JSON or XML: Safebooru and others.

use super::gelbooru::{LIST, METATAGS, post};
use super::{Ask, Count, Family, Listing, Paging, SignIn};
use crate::cursor::At;
use crate::faults::{Fault, json, of_body};
use crate::{fields, xml};
use serde_json::Value;

pub(super) const FAMILY: Family = Family {
    name: "gelbooru-0.2",
    page_size: 100,
    tag_limit: None,
    free: METATAGS,
    metatags: &[],
    separator: " ",
    paging: Paging::Numbered { first: 0, then_id_tag: true },
    list: LIST,
    parse,
    // The words differ from site to site, old and new ones on the same site.
    at_most: [None, None, Some("-rating:explicit")],
    score: Some("score:>="),
    days: false,
    sign_in: SignIn::UserId { needed: false },
    // Only the XML says how many there are.
    count: Some(Count {
        path: |ask| LIST(&Ask { tags: ask.tags.clone(), limit: ask.limit, at: At::Page(0), xml: true }),
        parse: count,
    }),
    tags: None,
    page: "/index.php?page=post&s=view&id=",
};

fn parse(body: &[u8]) -> Result<Listing, Fault> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        // How some sites of this family say that nothing was found.
        return Ok(Listing::default());
    }
    if text.starts_with('<') {
        let document = xml::read(text).filter(|d| d.root == "posts").ok_or_else(|| of_body(body))?;
        let posts = document.posts.iter().filter_map(post).collect();
        return Ok(Listing { posts, total: fields::count(&document.attributes, "count") });
    }
    let value = json(body)?;
    match &value {
        Value::Array(posts) => Ok(Listing { posts: posts.iter().filter_map(post).collect(), total: None }),
        Value::Object(all) if all.contains_key("post") || all.contains_key("@attributes") => Ok(Listing {
            posts: fields::list(value.get("post")).into_iter().filter_map(post).collect(),
            total: value.get("@attributes").and_then(|a| fields::count(a, "count")),
        }),
        _ => Err(of_body(body)),
    }
}

fn count(body: &[u8]) -> Option<u64> {
    let document = xml::read(&String::from_utf8_lossy(body)).filter(|d| d.root == "posts")?;
    fields::count(&document.attributes, "count")
}

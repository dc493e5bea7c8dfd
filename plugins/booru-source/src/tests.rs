//! The source as the host calls it, on answers in memory.

use super::*;
use plugin_sdk::{ErrorKind, Media};
use plugin_test::{FakeHost, open_dataset_source};
use serde_json::{Value, json};

const BASE: &str = "https://d.example";

fn post(id: u64, change: &[(&str, Value)]) -> Value {
    let mut post = json!({
        "id": id, "rating": "g", "score": 5, "image_width": 600, "image_height": 400, "file_size": 1000,
        "created_at": "2026-03-05T10:00:00.000-04:00", "md5": format!("{id:032x}"), "source": "https://art.example/1",
        "tag_string_general": "long_hair ^_^", "tag_string_artist": "ink_well",
        "file_url": format!("https://cdn.example/{id}.jpg"),
    });
    for (key, value) in change {
        post[*key] = value.clone();
    }
    post
}

fn url(path: &str) -> String {
    format!("{BASE}/{path}")
}

/// A site with two pages and what it counts.
fn site(first: Vec<Value>, second: Vec<Value>) -> FakeHost {
    let low = first.last().map_or(0, |p| p["id"].as_u64().unwrap());
    let low2 = second.last().map_or(0, |p| p["id"].as_u64().unwrap());
    FakeHost::new()
        .page(&url("posts.json?limit=200&tags=a%20rating%3Ag"), json!(first).to_string().as_bytes())
        .page(
            &url(&format!("posts.json?limit=200&tags=a%20rating%3Ag&page=b{low}")),
            json!(second).to_string().as_bytes(),
        )
        .page(&url(&format!("posts.json?limit=200&tags=a%20rating%3Ag&page=b{low2}")), b"[]")
        .page(&url("counts/posts.json?tags=a%20rating%3Ag"), br#"{"counts": {"posts": 4}}"#)
}

fn open(settings: Value) -> Result<BooruSource> {
    let mut all = json!({"base": BASE, "tags": "a"});
    for (key, value) in settings.as_object().unwrap() {
        all[key] = value.clone();
    }
    open_dataset_source(all)
}

fn all(source: &mut BooruSource) -> Vec<plugin_sdk::Item> {
    let (mut out, mut from) = (Vec::new(), None);
    for _ in 0..20 {
        let page = source.next_page(from, 256).unwrap();
        out.extend(page.items);
        match page.next {
            Some(next) => from = Some(next),
            None => return out,
        }
    }
    panic!("the list does not end");
}

#[test]
fn takes_all_pages_with_credits_and_says_first_how_much_it_is() {
    let host = site(vec![post(9, &[]), post(7, &[])], vec![post(5, &[]), post(3, &[("md5", Value::Null)])]).install();
    let items = all(&mut open(json!({"side": 0})).unwrap());
    assert_eq!(
        items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(),
        ["danbooru-9", "danbooru-7", "danbooru-5", "danbooru-3"]
    );
    let first = &items[0];
    assert!(matches!(&first.media, Media::Url(u) if u == "https://cdn.example/9.jpg"));
    assert_eq!(first.digest.as_deref(), Some(&*format!("md5:{:032x}", 9)));
    assert_eq!(first.origin.as_deref(), Some("https://d.example/posts/9"));
    let names: Vec<_> =
        first.annotation.tags.iter().map(|t| (t.name.as_str(), t.category.as_deref().unwrap())).collect();
    assert_eq!(names, [("ink well", "artist"), ("long hair", "general"), ("^_^", "general")]);
    let extra: Value = serde_json::from_str(first.annotation.extra.as_deref().unwrap()).unwrap();
    assert_eq!(extra["credits"]["artists"], json!(["ink_well"]));
    assert_eq!(extra["credits"]["source"], "https://art.example/1");
    let logs: Vec<String> = host.logs().into_iter().map(|(_, text)| text).collect();
    assert!(logs[0].contains("4 posts fit") && logs[0].contains("4.0 kB"), "{logs:?}");
    assert!(logs[1].contains("took 4 of 4 posts"), "{logs:?}");
}

#[test]
fn goes_on_in_a_new_instance_and_repeats_nothing() {
    // The second page begins with the last post of the first one.
    let _host = site(vec![post(9, &[]), post(7, &[])], vec![post(7, &[]), post(5, &[])]).install();
    let page = open(json!({})).unwrap().next_page(None, 256).unwrap();
    assert_eq!(page.total, Some(4));
    let page = open(json!({})).unwrap().next_page(page.next, 256).unwrap();
    assert_eq!(page.items.iter().map(|i| i.id.as_str()).collect::<Vec<_>>(), ["danbooru-5"]);
}

#[test]
fn what_is_left_out_is_said_by_reason() {
    let posts = vec![
        post(9, &[("rating", json!("e"))]),
        post(8, &[("tag_string_meta", json!("ai-generated"))]),
        post(7, &[("file_url", Value::Null)]),
        post(6, &[]),
    ];
    let host = site(posts, vec![]).install();
    assert_eq!(all(&mut open(json!({})).unwrap()).len(), 1);
    let end = host.logs().last().unwrap().1.clone();
    for reason in ["1 left out: rating above general", "1 left out: made by a generator", "1 left out: removed"] {
        assert!(end.contains(reason), "{end}");
    }
}

#[test]
fn taken_posts_can_be_left_out_once_their_page_was_used() {
    let _host = site(vec![post(9, &[]), post(7, &[])], vec![post(5, &[])]).install();
    let mut source = open(json!({})).unwrap();
    let first = source.next_page(None, 256).unwrap();
    let again = all(&mut open(json!({"skip_done": true})).unwrap());
    assert_eq!(again.len(), 3, "the first page was given, but nobody came back for the next");
    drop(first);
    assert!(all(&mut open(json!({"skip_done": true})).unwrap()).is_empty());
}

#[test]
fn previews_are_the_first_page_in_small() {
    let small =
        json!({"variants": [{"type": "180x180", "url": "https://cdn.example/s.jpg", "width": 180, "height": 120}]});
    let host = site(vec![post(9, &[("media_asset", small)])], vec![post(5, &[])]).install();
    let items = all(&mut open(json!({"preview_only": true})).unwrap());
    assert_eq!(items.len(), 1);
    assert!(matches!(&items[0].media, Media::Url(u) if u == "https://cdn.example/s.jpg"));
    assert_eq!(items[0].digest, None, "the checksum is the original's");
    assert!(host.logs().iter().any(|(_, t)| t.contains("previews only")));
    assert_eq!(all(&mut open(json!({"skip_done": true})).unwrap()).len(), 2, "a preview takes nothing");
}

#[test]
fn a_site_that_gives_more_than_was_asked_for_loses_nothing() {
    let page = |below: &str| url(&format!("posts.json?limit=1&tags=a%20rating%3Ag{below}"));
    let both = json!([post(9, &[]), post(7, &[])]).to_string();
    let _host = FakeHost::new()
        .page(&page(""), both.as_bytes())
        .page(&page("&page=b9"), json!([post(7, &[])]).to_string().as_bytes())
        .page(&page("&page=b7"), b"[]")
        .install();
    let mut source = open(json!({})).unwrap();
    let (mut ids, mut from) = (Vec::new(), None);
    loop {
        let page = source.next_page(from, 1).unwrap();
        assert!(page.items.len() <= 1);
        ids.extend(page.items.into_iter().map(|i| i.id));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["danbooru-9", "danbooru-7"]);
}

#[test]
fn a_limit_ends_the_list() {
    let _host = site(vec![post(9, &[]), post(7, &[])], vec![post(5, &[])]).install();
    assert_eq!(all(&mut open(json!({"max_posts": 1})).unwrap()).len(), 1);
}

#[test]
fn settings_that_cannot_work_say_why() {
    let _host = FakeHost::new().install();
    let refused = |settings: Value| open(settings).err().unwrap();
    let gelbooru = json!({"family": "gelbooru", "base": "https://gelbooru.com"});
    let with = |key: &str, value: &str| {
        let mut all = gelbooru.clone();
        all[key] = json!(value);
        all
    };
    let cases = [
        (refused(json!({"base": "danbooru.donmai.us"})), "base: expected the address"),
        (refused(json!({"base": "https://user:pw@x"})), "base: expected the address"),
        (refused(gelbooru.clone()), "user_id"),
        (refused(with("user_id", "mira")), "expected the number of your account, found \"mira\""),
        (refused(with("login", "mira")), "`user_id`"),
        (refused(json!({"user_id": "5"})), "`login`"),
        (refused(json!({"after": "March"})), "expected a day"),
        (refused(json!({"after": "2026-03-05", "before": "2026-03-01"})), "later than `before`"),
        (refused(json!({"secret": "{x}", "login": "m"})), "name of a secret"),
    ];
    for (error, text) in cases {
        assert!(error.message.contains(text), "{error}");
    }
    assert_eq!(refused(gelbooru.clone()).kind, ErrorKind::Denied);
}

#[test]
fn keys_are_places_that_the_host_fills() {
    let source = open(json!({"login": "mira b"})).unwrap();
    let host = FakeHost::new()
        .page(&url("posts.json?limit=200&tags=a%20rating%3Ag&login=mira%20b&api_key={secret:d.example}"), b"[]")
        .install();
    let mut source = source;
    let page = source.next_page(None, 256).unwrap();
    assert!(page.items.is_empty());
    assert!(host.logs().iter().all(|(_, t)| !t.contains("secret:")));
}

#[test]
fn answers_that_are_no_list_are_explained() {
    let listed = |body: &[u8]| {
        let _host = FakeHost::new().page(&url("posts.json?limit=200&tags=a%20rating%3Ag"), body).install();
        open(json!({})).unwrap().next_page(None, 256).err().unwrap()
    };
    let e = listed(b"<html>oops</html>");
    assert!(e.message.starts_with("danbooru at https://d.example: expected a list of posts, found"), "{e}");
    assert_eq!((e.kind, e.retry_after_ms.is_some()), (ErrorKind::Unavailable, true));
    let e = listed(br#"{"success": false, "message": "down for maintenance"}"#);
    assert!(e.message.contains("down for maintenance") && e.message.contains("try again later"), "{e}");
}

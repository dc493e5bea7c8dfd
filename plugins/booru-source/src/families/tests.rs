//! The table, and the oddities of each family's answers.

use super::*;
use crate::Settings;
use crate::faults::What;
use crate::post::NO_PICTURE;
use serde_json::json;

fn parse(family: &str, body: &str) -> Result<Listing, Fault> {
    (named(family).unwrap().parse)(body.as_bytes())
}

fn posts(family: &str, body: &serde_json::Value) -> Vec<Post> {
    parse(family, &body.to_string()).unwrap().posts
}

fn ask(tags: &str, at: At) -> Ask {
    Ask { tags: encoded(tags), limit: 10, at, xml: false }
}

#[test]
fn rows_are_whole_and_the_setting_lists_them() {
    let inputs = <Settings as plugin_sdk::Inputs>::inputs();
    let widget = format!("{:?}", inputs.iter().find(|i| i.name == "family").unwrap().widget);
    for f in FAMILIES {
        assert_eq!(FAMILIES.iter().filter(|g| g.name == f.name).count(), 1);
        assert!(widget.contains(&format!("{:?}", f.name)), "{}", f.name);
        assert!(f.page.starts_with('/') && (f.list)(&ask("a", f.paging.start())).starts_with('/'), "{}", f.name);
        assert!(f.free.iter().all(|m| !f.metatags.contains(m)), "{}", f.name);
    }
    assert_eq!(widget.matches("\", \"").count() + 1, FAMILIES.len());
}

#[test]
fn addresses_ask_for_the_right_page() {
    let url = |f: &str, at| (named(f).unwrap().list)(&ask("a b", at));
    assert_eq!(url("danbooru", At::Page(1)), "/posts.json?limit=10&tags=a%20b");
    assert_eq!(url("danbooru", At::Below(7)), "/posts.json?limit=10&tags=a%20b&page=b7");
    assert_eq!(url("e621", At::Page(3)), "/posts.json?limit=10&tags=a%20b&page=3");
    assert_eq!(url("gelbooru", At::Page(0)), "/index.php?page=dapi&s=post&q=index&json=1&limit=10&tags=a%20b&pid=0");
    assert_eq!(url("gelbooru", At::Below(5)), "/index.php?page=dapi&s=post&q=index&json=1&limit=10&tags=a%20b");
    assert!(url("moebooru", At::Page(2)).ends_with("&page=2"));
    assert!(url("philomena", At::Page(2)).contains("per_page=10&q=a%20b&page=2"));
    let xml = Ask { xml: true, ..ask("a", At::Page(1)) };
    assert!(!(named("gelbooru-0.2").unwrap().list)(&xml).contains("json"));
}

#[test]
fn danbooru_posts_without_a_file_or_with_frames() {
    let all = json!([
        {"id": 3, "rating": "g", "score": 4, "image_width": 40, "image_height": 40, "file_ext": "png",
         "tag_string_general": "a b", "tag_string_artist": "x", "created_at": "2026-03-11T14:50:39.925-04:00"},
        {"id": 2, "rating": "zzz", "score": null, "md5": "00", "file_url": "https://c/a.zip",
         "large_file_url": "https://c/a.webm", "preview_file_url": "https://c/a.jpg"},
        {"id": 1, "rating": "s", "score": -2, "md5": "11", "file_url": "https://c/b.mp4",
         "large_file_url": "https://c/b.jpg"},
        {"no": "id"},
    ]);
    let p = posts("danbooru", &all);
    assert_eq!(p.len(), 3);
    assert!(p[0].gone.as_ref().unwrap().contains("removed"));
    assert_eq!((p[0].date.as_deref(), p[0].of_kind("artist").collect::<Vec<_>>()), (Some("2026-03-11"), vec!["x"]));
    assert_eq!((p[1].gone.as_deref(), p[1].rating, p[1].score), (Some(NO_PICTURE), None, None));
    assert_eq!((p[2].versions.len(), p[2].versions[0].original), (1, false), "the large version stands for it");
    assert_eq!(parse("danbooru", "{}").unwrap_err().what, What::Odd);
}

#[test]
fn gelbooru_answers_none_one_and_text() {
    let post = json!({"id": 5, "tags": "&gt;_&lt; d&#039;arc", "rating": "general", "score": 1, "md5": "ab", "width": 10,
        "height": 20, "file_url": "https://g/a.png", "sample": 0, "sample_url": "", "parent_id": 0,
        "created_at": "Thu Mar 05 02:11:09 -0600 2026"});
    let one = parse("gelbooru", &json!({"@attributes": {"count": 1}, "post": post}).to_string()).unwrap();
    assert_eq!((one.posts.len(), one.total), (1, Some(1)));
    let p = &one.posts[0];
    assert_eq!(p.tags.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), [">_<", "d'arc"]);
    assert_eq!((p.date.as_deref(), p.versions.len()), (Some("2026-03-05"), 1));
    let none = parse("gelbooru", r#"{"@attributes": {"limit": 10, "offset": 0, "count": 0}}"#).unwrap();
    assert_eq!((none.posts.len(), none.total), (0, Some(0)));
    assert_eq!(parse("gelbooru", "Too deep! Pull it back some.").unwrap_err().what, What::TooDeep);
    assert_eq!(parse("gelbooru", "").unwrap_err().what, What::Down);
    let tags = (named("gelbooru").unwrap().tags.as_ref().unwrap().parse)(
        br#"{"tag": {"id": 1, "name": "&gt;_&lt;", "count": "10", "type": "1"}}"#,
    );
    let tags = tags.unwrap();
    assert_eq!((tags[0].name.as_str(), tags[0].posts, tags[0].kind), (">_<", 10, Some("artist")));
}

#[test]
fn the_older_kind_answers_in_json_and_xml() {
    let json = json!([{"id": 5, "tags": "a b", "rating": "safe", "score": null, "hash": "ab", "width": 10, "height": 20,
        "file_url": "https://s/x.png", "sample": false, "sample_url": "https://s/x.png", "change": 1_773_240_639}]);
    let from_json = &posts("gelbooru-0.2", &json)[0];
    let xml = r#"<?xml version="1.0"?><posts count="24" offset="0"><post id="5" tags=" a b " rating="g" score="" md5="ab"
        width="10" height="20" file_url="https://s/x.png" sample_url="https://s/x.png" sample_width="0" sample_height="0"
        created_at="Wed Mar 11 14:50:39 +0000 2026"/></posts>"#;
    let listing = parse("gelbooru-0.2", xml).unwrap();
    assert_eq!(listing.total, Some(24));
    assert_eq!(&listing.posts[0], from_json, "both forms say the same");
    assert_eq!((from_json.score, from_json.digest.as_deref()), (None, Some("md5:ab")));
    assert!(parse("gelbooru-0.2", "").unwrap().posts.is_empty(), "an empty body is no result here");
    assert!(parse("gelbooru-0.2", r#"<posts count="0" offset="0"></posts>"#).unwrap().posts.is_empty());
    let fault = parse("gelbooru-0.2", "<error>Missing authentication. Create a key.</error>").unwrap_err();
    assert_eq!(fault.what, What::Key);
    assert!(fault.found.contains("Create a key"), "{}", fault.found);
}

#[test]
fn e621_files_may_be_null() {
    let all = json!({"posts": [
        {"id": 2, "rating": "s", "file": {"url": null, "ext": "png", "md5": "aa"}, "flags": {"deleted": false}},
        {"id": 1, "rating": "e", "score": {"total": 7}, "sources": ["https://a", "https://b"],
         "file": {"url": "https://e/a.jpg", "width": 300, "height": 200, "size": 9, "md5": "bb"},
         "sample": {"has": true, "width": 150, "height": 100, "url": "https://e/s.jpg"},
         "tags": {"general": ["x"], "species": ["feline"], "artist": []}},
    ]});
    let p = posts("e621", &all);
    assert!(p[0].gone.is_some());
    assert_eq!((p[1].score, p[1].source.as_deref(), p[1].versions.len()), (Some(7), Some("https://a"), 2));
    assert_eq!(p[1].of_kind("species").collect::<Vec<_>>(), ["feline"]);
}

#[test]
fn moebooru_says_kinds_in_its_second_version() {
    let post = json!({"id": 1, "tags": "a b", "created_at": 0, "rating": "s", "score": 3, "file_url": "https://m/x%20y.png",
        "width": 200, "height": 100, "sample_url": "https://m/s.jpg", "sample_width": 100, "sample_height": 50});
    let p = &posts("moebooru", &json!({"posts": [post], "tags": {"a": "artist", "b": "faults"}}))[0];
    assert_eq!(p.of_kind("artist").collect::<Vec<_>>(), ["a"]);
    assert_eq!(p.of_kind("meta").collect::<Vec<_>>(), ["b"]);
    assert_eq!((p.versions.len(), p.date.as_deref()), (2, Some("1970-01-01")));
    let gone = json!([{"id": 1, "tags": "a", "status": "deleted", "rating": "s"}]);
    assert!(posts("moebooru", &gone)[0].gone.is_some());
}

#[test]
fn damaged_answers_are_answers_or_faults() {
    let samples = [
        r#"[{"id": 3, "rating": "g", "score": 4, "tag_string": "a &#039; \u00e9", "created_at": "2026-03-11T14:50:39.9",
            "media_asset": {"variants": [{"type": "sample", "url": "https://x/ü.jpg", "width": 1}]}, "file_url": "https://x/a.png"}]"#,
        r#"{"@attributes": {"count": 1}, "post": {"id": "5", "tags": "&gt;", "created_at": "Thu Mar 05 02:11:09 -0600 2026"}}"#,
        r#"{"posts": [{"id": 1, "file": {"url": null}, "tags": {"general": ["é"]}}], "tags": {"a": 1}, "images": [{"id": 2}]}"#,
        r#"<?xml version="1.0"?><posts count="2"><post id="5" tags=" &gt;_&lt; é" score="" created_at="x"/></posts>"#,
        r#"<response success="false" reason="&#xé;"/>"#,
    ];
    for sample in samples {
        for at in 0..sample.len() {
            let mut changed = sample.as_bytes().to_vec();
            let cut = changed[..at].to_vec();
            changed[at] = [b'"', b'9', b'{', 0xff, b'<'][at % 5];
            for body in [cut, changed] {
                for family in FAMILIES {
                    if let Err(fault) = (family.parse)(&body) {
                        assert!(fault.found.len() < 1000 && !fault.found.is_empty(), "{}", family.name);
                    }
                }
            }
        }
    }
}

#[test]
fn philomena_hides_pictures_and_writes_kinds_in_front() {
    let all = json!({"total": 3, "images": [
        {"id": 3, "hidden_from_users": true, "deletion_reason": "Rule 1", "duplicate_of": null},
        {"id": 2, "hidden_from_users": true, "duplicate_of": 1},
        {"id": 1, "width": 2000, "height": 1000, "tags": ["safe", "artist:ink well", "> <", "re:zero"], "score": 1,
         "sha512_hash": "ff", "view_url": "https://p/full.png",
         "representations": {"full": "https://p/full.png", "medium": "https://p/medium.png"}},
    ]});
    let listing = parse("philomena", &all.to_string()).unwrap();
    assert_eq!(listing.total, Some(3));
    assert!(listing.posts[1].gone.as_ref().unwrap().contains("merged"));
    let p = &listing.posts[2];
    assert_eq!((p.rating, p.digest.as_deref()), (Some(Rating::General), Some("sha512:ff")));
    assert_eq!(p.of_kind("artist").collect::<Vec<_>>(), ["ink well"]);
    assert_eq!(p.tags.len(), 3, "the rating is no tag");
    assert_eq!((p.versions[1].width, p.versions[1].height), (800, 400));
}

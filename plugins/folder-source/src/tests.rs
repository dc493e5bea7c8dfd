//! The source as the host calls it.

use super::*;
use plugin_test::{FakeHost, open_dataset_source};
use serde_json::{Value, json};

/// All ids, in pages of two.
fn ids(settings: Value) -> Result<Vec<String>> {
    let mut source: FolderSource = open_dataset_source(settings)?;
    let (mut out, mut from) = (Vec::new(), None);
    loop {
        let page = source.next_page(from, 2)?;
        out.extend(page.items.into_iter().map(|i| i.id));
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(out),
        }
    }
}

fn pictures() -> FakeHost {
    FakeHost::new()
        .file("f", "10_ohwx/2.png", b"")
        .file("f", "10_ohwx/2.txt", b"1girl, solo")
        .file("f", "10_ohwx/10.png", b"")
        .file("f", "10_ohwx/10.caption", b"A girl waits in the rain.")
        .file("f", "1.jpg", b"")
        .file("f", "1.txt", b"a")
        .file("f", "notes.md", b"x")
        .file("f", ".cache/3.png", b"")
}

#[test]
fn lists_pictures_with_captions_subsets_and_repeats() {
    let host = pictures().install();
    let mut source: FolderSource = open_dataset_source(json!({"folder": "f"})).unwrap();
    let page = source.next_page(None, 100).unwrap();
    assert_eq!((page.total, page.next), (Some(3), None));
    let [one, two, three] = page.items.as_slice() else { panic!("expected three items") };
    assert_eq!([&one.id, &two.id, &three.id], ["1.jpg", "10_ohwx/2.png", "10_ohwx/10.png"]);
    assert!(matches!(&two.media, Media::File { root, path } if root == "f" && path == "10_ohwx/2.png"));
    assert_eq!(two.annotation.tags.len(), 2);
    let extra = |item: &Item| serde_json::from_str::<Value>(item.annotation.extra.as_deref().unwrap()).unwrap();
    assert_eq!(extra(two), json!({"repeats": 10, "subset": "ohwx", "natural_language": false}));
    assert_eq!(extra(one), json!({"repeats": 1, "subset": "", "natural_language": false}));
    assert_eq!(three.annotation.text.as_deref(), Some("A girl waits in the rain."));
    assert_eq!(extra(three)["natural_language"], true);
    assert!(host.logs()[0].1.contains("left out 1 files that are not pictures: notes.md"));
}

#[test]
fn goes_on_after_a_page_even_in_a_new_instance() {
    let _host = pictures().install();
    assert_eq!(ids(json!({"folder": "f"})).unwrap(), ["1.jpg", "10_ohwx/2.png", "10_ohwx/10.png"]);
    let mut again: FolderSource = open_dataset_source(json!({"folder": "f"})).unwrap();
    assert_eq!(again.next_page(Some("1.jpg".into()), 5).unwrap().items.len(), 2);
    assert_eq!(ids(json!({"folder": "f", "recursive": false})).unwrap(), ["1.jpg"]);
}

#[test]
fn missing_empty_and_orphaned_captions_are_reported_together() {
    let _host = FakeHost::new()
        .file("f", "a.png", b"")
        .file("f", "b.png", b"")
        .file("f", "b.txt", b" \n")
        .file("f", "c.txt", b"x")
        .install();
    let e = ids(json!({"folder": "f"})).unwrap_err().message;
    for part in [
        "1 pictures have no caption (.txt or .caption beside them): a.png; set `captions` to",
        "1 caption files cannot be used: b.txt: the file is empty",
        "1 caption files have no picture: c.txt",
    ] {
        assert!(e.contains(part), "{part} not in {e}");
    }
    assert_eq!(ids(json!({"folder": "f", "captions": "ignore"})).unwrap(), ["a.png", "b.png"]);
    let optional = ids(json!({"folder": "f", "captions": "optional"})).unwrap_err().message;
    assert!(optional.contains("b.txt") && !optional.contains("a.png"), "{optional}");
}

#[test]
fn a_folder_without_pictures_is_an_error() {
    let _host = FakeHost::new().file("f", "a.txt", b"x").install();
    let e = ids(json!({"folder": "f"})).unwrap_err();
    assert!(e.message.contains("the folder has no pictures: found 1 other files"), "{}", e.message);
}

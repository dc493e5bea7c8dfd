//! Rules and tags that nobody would write: refused with words, or applied the same way each time. See
//! `plugin_test::fuzz`.

use super::*;
use plugin_sdk::Tag;
use plugin_test::{FakeHost, fuzz, open_tag_filter};
use serde_json::{Map, Value, json};

/// Settings that are texts.
const TEXTS: &[&str] = &[
    "activation",
    "prefix",
    "suffix",
    "subset_prefix",
    "subset_suffix",
    "prune",
    "blacklist",
    "merge",
    "regex",
    "drop_categories",
    "category_order",
    "first",
];

fn apply(settings: &Value, tags: &[String]) -> Result<Vec<Verdict>> {
    let tags = tags.iter().map(|name| Tag { name: name.clone(), ..Tag::default() }).collect();
    let annotation = Annotation { tags, ..Annotation::default() };
    let batch = vec![FilterRequest { id: "1".into(), subset: "10_a".into(), annotation }];
    let mut filter: TagEdit = open_tag_filter(settings.clone())?;
    if filter.passes() == 2 {
        filter.observe(&batch)?;
    }
    filter.apply(batch)
}

#[test]
fn odd_rules_and_tags_are_refused_or_applied_the_same_way_each_time() {
    let real = [
        "a, b -> c",
        "a + b -> c",
        "^(long) (.*)$ -> $2",
        "10_* = ohwx, girl",
        "saber (fate)",
        "general, character",
        "hat",
        "(hat, coat:1.2)",
        "d&#039;arc &amp;",
    ];
    let _host = FakeHost::new().install();
    let (mut done, mut refused) = (0, 0);
    fuzz::cases(
        4000,
        |random| {
            let mut settings = Map::new();
            for _ in 0..random.next(4) {
                settings.insert((*random.one(TEXTS)).to_owned(), json!(fuzz::text(random, &real)));
            }
            for name in ["split_characters", "dedupe"] {
                settings.insert(name.to_owned(), json!(random.next(2) == 0));
            }
            settings.insert("sort".into(), json!(random.one(&["keep", "score", "alphabet", "frequency", "shuffle"])));
            settings.insert("brackets".into(), json!(random.one(&["keep", "escape", "unescape"])));
            settings.insert("underscores".into(), json!(random.one(&["spaces", "underscores", "keep"])));
            settings.insert("rating".into(), json!(random.one(&["keep", "first", "last", "drop"])));
            settings.insert("weights".into(), json!(random.one(&["keep", "remove", "ignore"])));
            settings.insert("keep_first".into(), json!(random.next(3)));
            settings.insert("empty".into(), json!("keep"));
            let tags: Vec<String> = (0..random.next(6)).map(|_| fuzz::text(random, &real)).collect();
            (Value::Object(settings), tags)
        },
        |(settings, tags)| {
            let first = apply(settings, tags);
            match (&first, apply(settings, tags)) {
                (Ok(first), Ok(again)) => {
                    done += 1;
                    assert_eq!(*first, again);
                    assert_eq!(first.len(), 1);
                }
                (Err(error), Err(_)) => {
                    refused += 1;
                    assert!(!error.message.is_empty());
                }
                (first, again) => panic!("{first:?}, then {again:?}"),
            }
        },
    );
    if std::env::var_os("ANAGAMA_FUZZ_COUNT").is_none() {
        assert!(done > 200 && refused > 50, "{done} done, {refused} refused");
    }
}

//! First-party plugins hold to the rules that authors are given.

use kit::suite::{Bench, Setup, run};
use loader::Form;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tests::root;

/// A node, and what to set there; null: the defaults.
type Row = (&'static str, &'static str, Value);

/// (plugin, node, settings). The other plugins need a server or a board, and have suites with these.
fn rows() -> Vec<Row> {
    vec![
        ("folder-source", "folder-source", Value::Null),
        ("archive-source", "archive-source", Value::Null),
        ("palette-tagger", "palette-tagger", json!([{}, {"colors": 5, "min_share": 0.05}])),
        (
            "tag-edit",
            "tag-edit",
            json!([{"activation": "ohwx", "blacklist": "red *"}, {"min_images": 2, "empty": "keep", "sort": "shuffle", "rating": "last"}]),
        ),
        ("caption-clean", "caption-clean", json!({})),
        ("tag-implications", "tag-implications", json!({"implications": "1girl -> human", "mode": "expand"})),
        ("image-stats", "image-stats", json!({})),
        ("wd-tagger", "wd-tagger", json!({"model": "taggers/embedded-tagger"})),
        ("wd-tagger", "tag-choice", json!({"missing": "keep"})),
        ("tag-recall", "tag-recall", json!({"model": "taggers/embedded-tagger", "activation": "ohwx"})),
        ("blip-captioner", "blip-captioner", json!({"model": "captioners/tiny-blip", "min_words": 0})),
        ("clip-score", "clip-score", json!({"model": "encoders/tiny-clip"})),
        ("brisque", "brisque", json!({})),
        (
            "aesthetic-score",
            "aesthetic-score",
            json!({"encoder": "encoders/tiny-clip", "head": "aesthetics/tiny-head"}),
        ),
    ]
}

#[test]
fn first_party_plugins_pass_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let registry = crate::conformance::models();
    let cache = dir.path().join("cache");
    let bench = Bench { form: Form::Wasm, cache: &cache, inference: Some(Arc::new(registry)), compiler: None };
    let mut failures = Vec::new();
    let all = rows();
    for name in all.iter().map(|row| row.0).collect::<BTreeSet<_>>() {
        let built = root().join("target/plugins").join(name);
        assert!(built.is_dir(), "{} is not built; run `cargo xtask guests`", built.display());
        let mut setup = Setup::read(&root().join("plugins").join(name)).unwrap();
        for (_, node, settings) in all.iter().filter(|row| row.0 == name && !row.2.is_null()) {
            setup.settings.insert(format!("anagama.{node}"), settings.clone());
        }
        let report = run(&built, &setup, &bench).unwrap();
        failures.extend(report.failures().map(|f| format!("{name}: {}: {:?}", f.check, f.outcome)));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

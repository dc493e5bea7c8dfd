//! First-party plugins hold to the rules that authors are given.

use kit::suite::{Bench, Setup, run};
use loader::Form;
use serde_json::{Value, json};
use std::sync::Arc;
use tests::root;

/// (plugin, settings; null: the defaults). The others need a server or a board, and have suites with these.
fn rows() -> Vec<(&'static str, Value)> {
    vec![
        ("folder-source", Value::Null),
        ("palette-tagger", json!([{}, {"colors": 5, "min_share": 0.05}])),
        ("tag-edit", json!([{"activation": "ohwx", "blacklist": "red *"}, {"min_images": 2, "empty": "keep"}])),
        ("caption-clean", json!({})),
        ("tag-implications", json!({"implications": "1girl -> human", "mode": "expand"})),
        ("image-stats", json!({})),
        ("wd-tagger", json!({"model": "taggers/embedded-tagger"})),
        ("tag-recall", json!({"model": "taggers/embedded-tagger", "activation": "ohwx"})),
    ]
}

#[test]
fn first_party_plugins_pass_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let registry = inference::Registry::new(vec![root().join("examples/models")]);
    let cache = dir.path().join("cache");
    let bench = Bench { form: Form::Wasm, cache: &cache, inference: Some(Arc::new(registry)) };
    let mut failures = Vec::new();
    for (name, settings) in rows() {
        let built = root().join("target/plugins").join(name);
        assert!(built.is_dir(), "{} is not built; run `cargo xtask guests`", built.display());
        let mut setup = Setup::default();
        if !settings.is_null() {
            setup.settings.insert(format!("anagama.{name}"), settings);
        }
        let report = run(&built, &setup, &bench).unwrap();
        failures.extend(report.failures().map(|f| format!("{name}: {}: {:?}", f.check, f.outcome)));
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

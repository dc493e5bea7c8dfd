//! One suite per plugin kind, run against every first-party plugin in both forms: what a component answers and what a
//! native library answers from the same source must be equal, to the last bit of every score.

use data::{CaptionRequest, DecodeLimits, FilterRequest, Image, Sample, Verdict};
use loader::{CallContext, Form, Kind, Limits, Loader, LoaderConfig, Plugin};
use serde_json::{Value, json};
use spec::{Annotation, Tag};
use std::path::PathBuf;
use std::sync::Arc;
use tests::root;

/// (plugin, kind, settings to test it with)
fn suite() -> Vec<(&'static str, Kind, Vec<Value>)> {
    vec![
        (
            "folder-source",
            Kind::DatasetSource,
            vec![json!({"folder": "folder"}), json!({"folder": "folder", "captions": "ignore", "repeats": 3})],
        ),
        (
            "archive-source",
            Kind::DatasetSource,
            vec![
                json!({"folder": "archives"}),
                json!({"folder": "archives", "names": "second.tar.gz, addresses.txt", "captions": "ignore"}),
            ],
        ),
        (
            "wd-tagger",
            Kind::Captioner,
            vec![
                json!({"model": "taggers/embedded-tagger"}),
                json!({"model": "taggers/embedded-tagger", "mcut": true, "rating": true, "underscores": "underscores"}),
            ],
        ),
        ("wd-tagger", Kind::TagFilter, vec![json!({"missing": "keep"})]),
        (
            "blip-captioner",
            Kind::Captioner,
            vec![
                json!({"model": "captioners/tiny-blip", "min_words": 0}),
                json!({"model": "captioners/tiny-blip", "prompt": "a photo of", "temperature": 1.0, "seed": 3}),
            ],
        ),
        ("palette-tagger", Kind::Captioner, vec![json!({}), json!({"colors": 5, "min_share": 0.05})]),
        (
            "tag-edit",
            Kind::TagFilter,
            vec![
                json!({"activation": "ohwx", "blacklist": "red *"}),
                json!({"min_images": 2, "merge": "a, b -> c", "empty": "keep"}),
            ],
        ),
        ("caption-clean", Kind::TagFilter, vec![json!({}), json!({"max_cut": 0.0, "too_much": "error"})]),
        (
            "tag-implications",
            Kind::TagFilter,
            vec![
                json!({"implications": "red hair -> a", "overlap": true}),
                json!({"implications": "1girl -> human", "mode": "expand", "aliases": "sky = blue sky"}),
            ],
        ),
        ("image-stats", Kind::Evaluator, vec![json!({}), json!({"activation": "ohwx"})]),
        (
            "clip-score",
            Kind::Evaluator,
            vec![json!({"model": "encoders/tiny-clip"}), json!({"model": "encoders/tiny-clip", "text": false})],
        ),
        (
            "aesthetic-score",
            Kind::Evaluator,
            vec![json!({"encoder": "encoders/tiny-clip", "head": "aesthetics/tiny-head"})],
        ),
        ("brisque", Kind::Evaluator, vec![json!({})]),
        ("tag-recall", Kind::Evaluator, vec![json!({"model": "taggers/embedded-tagger", "activation": "ohwx"})]),
    ]
}

/// The models of the examples, and small ones of random weights.
pub(crate) fn models() -> inference::Registry {
    let own = nodes::OwnNetworks::new(models::Memory::unlimited());
    let roots = vec![root().join("examples/models"), root().join("host/models/tests/data")];
    inference::Registry::new(roots).with_networks(Arc::new(own))
}

fn load(name: &str, form: Form, dir: &std::path::Path) -> Arc<Plugin> {
    let installed = tests::install(&format!("plugins/{name}"), dir);
    let config = LoaderConfig {
        plugin_dirs: vec![dir.join("plugins")],
        cache_dir: dir.join("cache"),
        lock_file: dir.join("lock.json"),
        prefer_native: form == Form::Native,
        limits: Limits::default(),
        inference: Some(Arc::new(models())),
        ..LoaderConfig::default()
    };
    if form == Form::Native {
        loader::approve(&config.lock_file, &installed).unwrap();
    }
    let loader = Loader::new(config).unwrap();
    assert!(loader.problems().is_empty(), "{:?}", loader.problems());
    let plugin = loader.plugins().into_iter().next().unwrap();
    assert_eq!(plugin.form(), form, "{name}");
    plugin
}

fn pictures() -> Vec<(PathBuf, Image)> {
    let mut paths: Vec<PathBuf> =
        ["ohwx-character/001.png", "ohwx-character/002.png", "pixel-style/001.png", "pixel-style/017.png"]
            .iter()
            .map(|p| root().join("examples/datasets").join(p))
            .collect();
    paths.push(root().join("examples/models/taggers/embedded-tagger/examples/comic_transparent_128x104.png"));
    paths.into_iter().map(|p| (p.clone(), Image::open(&p, &DecodeLimits::default()).unwrap())).collect()
}

fn call() -> CallContext {
    let folders = [("folder", "examples/datasets"), ("archives", "plugins/archive-source/samples")];
    let folders = folders.map(|(name, path)| (name.to_owned(), root().join(path))).into();
    CallContext { folders, seed: 7, ..CallContext::default() }
}

/// Everything that a plugin of this kind answers, as text.
fn answers(plugin: &Plugin, kind: Kind, config: &Value) -> String {
    match kind {
        Kind::Captioner => {
            let mut captioner = plugin.open_captioner(config, call()).unwrap();
            let batch = |n: usize| {
                pictures()
                    .into_iter()
                    .take(n)
                    .map(|(_, image)| CaptionRequest { image, known: Annotation::default() })
                    .collect()
            };
            let all = captioner.caption(batch(5)).unwrap();
            assert_eq!(all.len(), 5);
            assert!(all.iter().all(|a| a.as_ref().is_ok_and(|a| a.text.is_some() || !a.tags.is_empty())), "{all:?}");
            let one = captioner.caption(batch(1)).unwrap();
            assert_eq!(one[0], all[0], "a batch must not change an answer");
            assert!(captioner.caption(Vec::new()).unwrap().is_empty());
            format!("{} {all:?}", captioner.max_batch())
        }
        Kind::DatasetSource => {
            let mut source = plugin.open_dataset_source(config, call()).unwrap();
            let (mut from, mut seen) = (None, Vec::new());
            loop {
                let page = source.next_page(from, 10).unwrap();
                assert!(page.items.len() <= 10, "a page may not be longer than asked for");
                for item in &page.items {
                    seen.push(format!("{item:?}"));
                }
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
            let mut ids = seen.clone();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), seen.len(), "an item came twice");
            assert!(!seen.is_empty(), "no items");
            seen.join("\n")
        }
        Kind::TagFilter => {
            let mut filter = plugin.open_tag_filter(config, call()).unwrap();
            let tag = |n: &str| Tag { name: n.into(), score: Some(0.5), category: None };
            let lists = [vec!["1girl", "red_hair", "a"], vec!["1girl", "^_^", "b", "b"], vec!["1girl", "blue_sky"]];
            let batch: Vec<FilterRequest> = lists
                .iter()
                .enumerate()
                .map(|(n, tags)| FilterRequest {
                    id: format!("{n}"),
                    subset: String::new(),
                    annotation: Annotation { tags: tags.iter().map(|t| tag(t)).collect(), ..Annotation::default() },
                })
                .collect();
            if filter.passes() > 1 {
                filter.observe(&batch).unwrap();
            }
            let verdicts = filter.apply(&batch).unwrap();
            assert_eq!(verdicts.len(), 3);
            assert!(verdicts.iter().all(|v| matches!(v, Verdict::Keep(_))), "{verdicts:?}");
            format!("{} {verdicts:?}", filter.passes())
        }
        Kind::Evaluator => {
            let mut evaluator = plugin.open_evaluator(config, call()).unwrap();
            let images: Vec<Image> = pictures().into_iter().map(|(_, i)| i).collect();
            evaluator.reference(images[..2].to_vec()).unwrap();
            let sample = |n: usize, prompt: &str| Sample {
                id: format!("{n}"),
                image: images[n].clone(),
                prompt: prompt.into(),
                reference: Some(images[(n + 1) % 4].clone()),
                seed: Some(n as u64),
                extra: Some(json!({"checkpoint": 50, "strength": 1.0})),
            };
            let scores = evaluator
                .add(vec![sample(0, "ohwx, comic style"), sample(2, "pixel style, white background")])
                .unwrap();
            assert_eq!(scores.len(), 2);
            let known: Vec<String> = evaluator.metrics().iter().map(|m| m.name.clone()).collect();
            let whole = evaluator.finish().unwrap();
            for score in scores.iter().flatten().chain(&whole) {
                assert!(known.contains(&score.metric), "`{}` is not among {known:?}", score.metric);
                assert!(score.value.is_finite(), "{score:?}");
            }
            // Bits, not decimals.
            let bits = |s: &data::Score| format!("{}={:016x}", s.metric, s.value.to_bits());
            let each: Vec<Vec<String>> = scores.iter().map(|s| s.iter().map(bits).collect()).collect();
            format!("{known:?} {each:?} {:?}", whole.iter().map(bits).collect::<Vec<_>>())
        }
        Kind::Node => unreachable!("no first-party plugin is a plain node"),
    }
}

/// What the plugin says to a setting that it does not have.
fn complaint(plugin: &Plugin, kind: Kind, config: &Value) -> String {
    let mut config = config.clone();
    config["no_such_setting"] = json!(1);
    let error = match kind {
        Kind::Captioner => plugin.open_captioner(&config, call()).err(),
        Kind::DatasetSource => plugin.open_dataset_source(&config, call()).err(),
        Kind::TagFilter => plugin.open_tag_filter(&config, call()).err(),
        Kind::Evaluator => plugin.open_evaluator(&config, call()).err(),
        Kind::Node => None,
    };
    error.map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn both_forms_of_every_plugin_answer_alike() {
    // The names of a few plugins, to try those alone.
    let only = std::env::var("ANAGAMA_ONLY_PLUGINS").unwrap_or_default();
    for (name, kind, configs) in suite() {
        if !only.is_empty() && !only.split(',').any(|plugin| plugin == name) {
            tests::skip(name, "ANAGAMA_ONLY_PLUGINS does not name it");
            continue;
        }
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (wasm, native) = (load(name, Form::Wasm, a.path()), load(name, Form::Native, b.path()));
        assert_eq!(wasm.info(), native.info(), "{name} describes itself differently");
        assert_eq!(wasm.kinds(), native.kinds(), "{name}");
        assert!(wasm.kinds().contains(&kind), "{name} is no {kind:?}");
        for config in &configs {
            let (w, n) = (answers(&wasm, kind, config), answers(&native, kind, config));
            assert_eq!(w, n, "{name} with {config}: component and library differ");
            assert_eq!(answers(&wasm, kind, config), w, "{name} with {config}: a second instance answers differently");
        }
        let complaint = complaint(&wasm, kind, &configs[0]);
        assert!(complaint.contains("no_such_setting"), "{name} accepts settings that it does not have: {complaint}");
    }
}

#[test]
fn every_first_party_plugin_is_in_the_suite() {
    let mut folders: Vec<String> = std::fs::read_dir(root().join("plugins"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut tested: Vec<&str> = suite().iter().map(|(n, ..)| *n).collect();
    // It needs a board to ask: `booru::lists` compares its two forms.
    tested.push("booru-source");
    // It needs a server to ask: `captions::servers` does so.
    tested.push("vlm-captioner");
    // It needs captions to check: `captions::checks` gives it some.
    tested.push("caption-check");
    tested.sort_unstable();
    tested.dedup();
    assert_eq!(folders, tested);
}

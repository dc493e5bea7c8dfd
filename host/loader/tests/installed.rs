//! The plugins and test guests that `cargo xtask guests` builds: both forms, and the faults of each guest.
//! Without them each test prints that it is skipped.
#![allow(clippy::unwrap_used)]

use data::{CaptionRequest, FilterRequest, Image, PixelFormat, Verdict};
use loader::{
    CallContext, Form, Level, Limits, Loader, LoaderConfig, NodeCall, NodeFeed, NodeInputs, NodeValue, Plugin,
};
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

struct Installed {
    loader: Loader,
    _dir: tempfile::TempDir,
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The plugin `id` of the built ones in the wanted form, or `None` with the reason printed.
fn installed(id: &str, form: Form, limits: Limits) -> Option<(Installed, Arc<Plugin>)> {
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let place = if id.starts_with("test.") { "test-plugins" } else { "plugins" };
    let built = built.join(place);
    let dir = tempfile::tempdir().unwrap();
    let plugins = dir.path().join("plugins");
    // A copy of the one folder: the others need not be compiled for this test.
    let name = id.split('.').next_back().unwrap();
    let Ok(files) = std::fs::read_dir(built.join(name)) else {
        eprintln!("SKIPPED: {id}: {} is not there; `cargo xtask guests` builds it", built.join(name).display());
        return None;
    };
    std::fs::create_dir_all(plugins.join(name)).unwrap();
    for file in files.flatten() {
        std::fs::copy(file.path(), plugins.join(name).join(file.file_name())).unwrap();
    }
    let library = plugins.join(name).join(format!("lib{}.so", name.replace('-', "_")));
    if form == Form::Native && !library.exists() {
        eprintln!("SKIPPED: {id}: no native library; `cargo xtask guests --native` builds it");
        return None;
    }
    let config = LoaderConfig {
        plugin_dirs: vec![plugins.clone()],
        cache_dir: dir.path().join("cache"),
        lock_file: dir.path().join("lock.json"),
        prefer_native: form == Form::Native,
        limits,
        inference: Some(Arc::new(inference::Registry::new(vec![repository().join("examples/models")]))),
        ..LoaderConfig::default()
    };
    if form == Form::Native {
        loader::approve(&config.lock_file, &plugins.join(name)).unwrap();
    }
    let loader = Loader::new(config).unwrap();
    assert!(loader.problems().is_empty(), "{:?}", loader.problems());
    let plugin = loader.plugin(id).unwrap();
    assert_eq!(plugin.form(), form);
    Some((Installed { loader, _dir: dir }, plugin))
}

const FORMS: [Form; 2] = [Form::Wasm, Form::Native];

fn picture(width: u32, height: u32) -> Image {
    let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
    Image::new(width, height, PixelFormat::Rgb8, pixels).unwrap()
}

fn requests(widths: &[u32]) -> Vec<CaptionRequest> {
    widths.iter().map(|w| CaptionRequest { image: picture(*w, 4), known: Default::default() }).collect()
}

#[test]
fn a_panic_fails_one_image_and_says_why() {
    for form in FORMS {
        let Some((_i, plugin)) = installed("test.panics", form, Limits::default()) else { return };
        let config = json!({"nth": 0, "width": 13});
        let mut captioner = plugin.open_captioner(&config, CallContext::default()).unwrap();
        assert_eq!(captioner.max_batch(), 4);
        let answers = captioner.caption(requests(&[8, 13, 9])).unwrap();
        assert_eq!(answers[0].as_ref().unwrap().text.as_deref(), Some("8x4"), "{form:?}");
        assert_eq!(answers[2].as_ref().unwrap().text.as_deref(), Some("9x4"), "{form:?}");
        let e = answers[1].as_ref().unwrap_err().to_string();
        for part in ["plugin test.panics 0.1.0 (captioner, ", &plugin.sha256()[..12], "image 2 of 3 (13×4)", "13 wide"]
        {
            assert!(e.contains(part), "{form:?}: {e}");
        }
    }
}

#[test]
fn a_loop_ends_at_the_deadline_and_when_cancelled() {
    let limits = Limits { deadline: Duration::from_millis(300), ..Limits::default() };
    let Some((_i, plugin)) = installed("test.spins", Form::Wasm, limits) else { return };
    let mut captioner = plugin.open_captioner(&json!({"width": 13}), CallContext::default()).unwrap();
    let answers = captioner.caption(requests(&[8, 13])).unwrap();
    assert!(answers[0].is_ok());
    let e = answers[1].as_ref().unwrap_err();
    assert!(e.kind == spec::ErrorKind::Timeout && e.message.contains("0.3 s"), "{e}");

    let cancel = Arc::new(AtomicBool::new(false));
    let asked = cancel.clone();
    let call = CallContext {
        cancelled: Arc::new(move || asked.load(Ordering::Relaxed)),
        limits: Some(Limits::default()),
        ..CallContext::default()
    };
    let mut captioner = plugin.open_captioner(&json!({}), call).unwrap();
    let pressed = Arc::new(Mutex::new(Instant::now()));
    let (at, then) = (pressed.clone(), cancel.clone());
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        *at.lock().unwrap() = Instant::now();
        then.store(true, Ordering::Relaxed);
    });
    let e = captioner.caption(requests(&[8])).unwrap_err();
    assert_eq!(e.kind, spec::ErrorKind::Cancelled, "{e}");
    let waited = pressed.lock().unwrap().elapsed();
    // An order of magnitude above the tick, for busy machines: far below the deadline of 30 s is what matters.
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
fn memory_ends_at_the_cap() {
    let limits = Limits { memory: 32 << 20, ..Limits::default() };
    let Some((_i, plugin)) = installed("test.hungry", Form::Wasm, limits) else { return };
    let mut captioner = plugin.open_captioner(&json!({}), CallContext::default()).unwrap();
    let answers = captioner.caption(requests(&[8])).unwrap();
    let e = answers[0].as_ref().unwrap_err().to_string();
    assert!(e.contains("the limit is 32 MiB"), "{e}");
}

#[test]
fn a_forged_handle_ends_the_call() {
    let Some((_i, plugin)) = installed("test.forger", Form::Wasm, Limits::default()) else { return };
    let mut captioner = plugin.open_captioner(&json!({}), CallContext::default()).unwrap();
    let answers = captioner.caption(requests(&[8])).unwrap();
    let e = answers[0].as_ref().unwrap_err().to_string();
    assert!(e.contains("handle"), "{e}");
}

#[test]
fn too_few_answers_are_a_broken_contract() {
    for form in FORMS {
        let Some((_i, plugin)) = installed("test.wrong-count", form, Limits::default()) else { return };
        let mut captioner = plugin.open_captioner(&json!({"missing": 1}), CallContext::default()).unwrap();
        let answers = captioner.caption(requests(&[8])).unwrap();
        let e = answers[0].as_ref().unwrap_err().to_string();
        assert!(e.contains("broke the contract") && e.contains("expected 1 answers"), "{form:?}: {e}");
    }
}

#[test]
fn a_refused_host_names_the_missing_grant() {
    for form in FORMS {
        let Some((_i, plugin)) = installed("test.fetcher", form, Limits::default()) else { return };
        let config = json!({"url": "http://evil.example/x"});
        let mut captioner = plugin.open_captioner(&config, CallContext::default()).unwrap();
        let e = captioner.caption(requests(&[8])).unwrap_err();
        assert_eq!(e.kind, spec::ErrorKind::Denied);
        let grant = "http = [\"http://evil.example/*\"]";
        assert!(e.message.contains(grant) && e.message.contains("plugin test.fetcher 0.1.0"), "{form:?}: {e}");
    }
}

#[test]
fn one_artefact_serves_two_kinds() {
    for form in FORMS {
        let Some((_i, plugin)) = installed("test.two-kinds", form, Limits::default()) else { return };
        assert_eq!(plugin.kinds(), [loader::Kind::Captioner, loader::Kind::TagFilter]);
        let mut captioner = plugin.open_captioner(&json!({}), CallContext::default()).unwrap();
        let annotation = captioner.caption(requests(&[8])).unwrap().remove(0).unwrap();
        let mut filter = plugin.open_tag_filter(&json!({"tag": "wide"}), CallContext::default()).unwrap();
        let item = |annotation| FilterRequest { id: "a".into(), subset: String::new(), annotation };
        let verdicts = filter.apply(&[item(annotation), item(Default::default())]).unwrap();
        assert!(matches!(&verdicts[0], Verdict::Drop(why) if why.contains("wide")), "{form:?}: {verdicts:?}");
        assert!(matches!(verdicts[1], Verdict::Keep(_)));
        assert!(plugin.open_evaluator(&json!({}), CallContext::default()).is_err());
    }
}

#[test]
fn nodes_take_and_give_values() {
    for form in FORMS {
        let Some((_i, plugin)) = installed("test.echo-node", form, Limits::default()) else { return };
        let run = |node: &str, inputs: NodeInputs| {
            let call = NodeCall { id: "7".into(), prefix: "7.0.".into(), inputs };
            plugin.run_node(node, &call, CallContext::default()).unwrap()
        };
        let values = |feed: &NodeFeed| match feed {
            NodeFeed::Values(values) => values.clone(),
            NodeFeed::Link(..) => panic!("{form:?}: {feed:?}"),
        };
        let outputs = run("test.echo-node", [("a".to_owned(), vec![NodeValue::Text("x".into())])].into()).outputs;
        assert!(matches!(&values(&outputs[0])[0], NodeValue::Text(t) if t == "x !"), "{form:?}: {outputs:?}");
        assert!(matches!(values(&outputs[1])[0], NodeValue::Int(3)), "{form:?}: {outputs:?}");
        let text = |s: &str| NodeValue::Text(s.into());
        let inputs: NodeInputs = [
            ("texts".to_owned(), vec![text("a"), text("b")]),
            ("image".to_owned(), vec![NodeValue::Image(picture(3, 2))]),
        ]
        .into();
        let outputs = run("test.reverse", inputs).outputs;
        assert!(matches!(&values(&outputs[0])[0], NodeValue::Text(t) if t == "b"), "{form:?}: {outputs:?}");
        assert!(matches!(&values(&outputs[1])[0], NodeValue::Image(i) if *i == picture(3, 2)), "{form:?}");
        let grown = run("test.grow", [("n".to_owned(), vec![NodeValue::Int(2)])].into());
        assert!(matches!(&grown.outputs[0], NodeFeed::Link(node, 0) if node == "7.0.0.2"), "{form:?}: {grown:?}");
        assert!(
            matches!(&grown.outputs[1], NodeFeed::Values(v) if matches!(&v[0], NodeValue::Blocker(Some(m)) if m == "7"))
        );
        assert_eq!((grown.nodes[1].class_type.as_str(), grown.ui["n"].as_array().unwrap().len()), ("test.grow", 1));
        let call = NodeCall { inputs: [("n".to_owned(), vec![NodeValue::None])].into(), ..NodeCall::default() };
        assert_eq!(plugin.check_lazy("test.grow", &call, CallContext::default()).unwrap(), ["n"], "{form:?}");
        let types = [("n".to_owned(), "INT".to_owned())];
        let verdict = plugin.validate_node("test.grow", &call, &types, CallContext::default()).unwrap();
        assert_eq!(verdict, loader::NodeVerdict::Refused(Some("n is INT".into())), "{form:?}");
        assert_eq!(plugin.fingerprint_node("test.grow", &call, CallContext::default()).unwrap(), None, "{form:?}");
        let grow = plugin.info().nodes.iter().find(|n| n.id == "test.grow").unwrap();
        assert!(grow.output_node && grow.behaviour.is_personal(), "{form:?}: {grow:?}");
        assert!(grow.behaviour.validates.as_ref().is_some_and(|v| v.types), "{form:?}");
        let call = NodeCall::default();
        let e = plugin.run_node("test.nothing", &call, CallContext::default()).unwrap_err().to_string();
        assert!(e.contains("test.reverse"), "{e}");
    }
}

#[test]
fn both_forms_of_a_tagger_give_equal_captions() {
    let mut all = Vec::new();
    for form in FORMS {
        for id in ["anagama.palette-tagger", "anagama.wd-tagger"] {
            let Some((_i, plugin)) = installed(id, form, Limits::default()) else { return };
            let lines = Arc::new(Mutex::new(Vec::new()));
            let log = lines.clone();
            let call = CallContext {
                log: Arc::new(move |level: Level, line: &str| log.lock().unwrap().push(format!("{level:?} {line}"))),
                ..CallContext::default()
            };
            let config = match id {
                "anagama.wd-tagger" => json!({"model": "taggers/embedded-tagger"}),
                _ => json!({}),
            };
            let mut captioner = plugin.open_captioner(&config, call).unwrap();
            let folder = repository().join("examples/models/taggers/embedded-tagger/examples");
            let batch: Vec<CaptionRequest> = ["ink.png", "comic_transparent_128x104.png", "ink_128.png"]
                .iter()
                .map(|f| CaptionRequest {
                    image: Image::open(&folder.join(f), &Default::default()).unwrap(),
                    known: Default::default(),
                })
                .collect();
            let answers: Vec<_> = captioner.caption(batch).unwrap().into_iter().map(Result::unwrap).collect();
            assert!(answers.iter().all(|a| !a.tags.is_empty()), "{id} {form:?}: {answers:?} {lines:?}");
            all.push((id, serde_json::to_string(&answers).unwrap()));
        }
    }
    assert_eq!(all[..2], all[2..]);
}

#[test]
fn the_tagger_scores_as_onnxruntime_does() {
    let Some((_i, plugin)) = installed("anagama.wd-tagger", Form::Wasm, Limits::default()) else { return };
    let folder = repository().join("examples/models/taggers/embedded-tagger/examples");
    let expected: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let names: Vec<&str> = expected["tags"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    let settings = json!({
        "model": "taggers/embedded-tagger", "general_threshold": 0.0, "character_threshold": 0.0, "underscores": "underscores",
    });
    let mut captioner = plugin.open_captioner(&settings, CallContext::default()).unwrap();
    for image in expected["images"].as_array().unwrap() {
        let file = image["file"].as_str().unwrap();
        let picture = Image::open(&folder.join(file), &Default::default()).unwrap();
        let batch = vec![CaptionRequest { image: picture, known: Default::default() }];
        let tags = captioner.caption(batch).unwrap().remove(0).unwrap().tags;
        assert_eq!(tags.len(), names.len() - 4, "{file}: every label but the four ratings");
        // Where nothing is resized only the runtimes differ; Pillow's bicubic filter is met within a grey level.
        let tolerance = if image["resized"] == true { 5e-3 } else { 1e-4 };
        for tag in tags {
            let at = names.iter().position(|n| *n == tag.name).unwrap();
            let (found, wanted) = (f64::from(tag.score.unwrap()), image["scores"][at].as_f64().unwrap());
            assert!((found - wanted).abs() < tolerance, "{file} {}: expected {wanted}, found {found}", tag.name);
        }
    }
}

#[test]
fn a_changed_artefact_is_picked_up() {
    let Some((i, plugin)) = installed("test.panics", Form::Wasm, Limits::default()) else { return };
    let path = plugin.explain().path;
    assert!(Arc::ptr_eq(&plugin, &i.loader.plugin("test.panics").unwrap()), "unchanged, the same");
    // A custom section changes the bytes and nothing else.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(b"\0\x02\x01x");
    std::fs::write(&path, bytes).unwrap();
    let new = i.loader.plugin("test.panics").unwrap();
    assert_ne!(new.sha256(), plugin.sha256());
    let mut captioner = new.open_captioner(&json!({"nth": 0}), CallContext::default()).unwrap();
    assert!(captioner.caption(requests(&[8])).unwrap()[0].is_ok());
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    i.loader.refresh().unwrap();
    assert!(i.loader.plugins().is_empty());
}

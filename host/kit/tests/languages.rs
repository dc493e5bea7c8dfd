//! Plugins in Python and JavaScript, from the template to answers, beside those in Rust and C. Tools that are missing are
//! installed below `target/kit-tests/tools`; where they cannot be had, the tests print that they are skipped, and why.
#![allow(clippy::unwrap_used)]

use data::{CaptionRequest, FilterRequest, Image, PixelFormat, Verdict};
use kit::suite::{Bench, Outcome, Setup};
use kit::{Lang, Making, Project};
use loader::{CallContext, Form, Kind, Level, Limits, Loader, LoaderConfig, NodeCall, NodeValue, Plugin};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Two tests must not install, or compile 18 MB, at the same time.
static ONE: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn making() -> Making {
    Making {
        programs: compile::Programs {
            cargo: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            path: std::env::var_os("PATH").unwrap(),
        },
        target: Some(root().join("target/kit-tests")),
        native: false,
        set_up: true,
        cc: "cc".into(),
        tools: root().join("target/kit-tests/tools"),
    }
}

/// Can a language be built here? If not, that is printed.
fn there(test: &str, lang: Lang) -> bool {
    let missing = match lang {
        Lang::Rust => compile::Toolchain::find(false).err(),
        Lang::C => compile::output(std::process::Command::new("cc").arg("--version"))
            .is_none()
            .then(|| anyhow::anyhow!("no C compiler `cc`")),
        Lang::Python | Lang::Js => kit::tool(lang, &making()).err(),
    };
    if let Some(e) = &missing {
        eprintln!("SKIPPED: {test}: {}: {e:#}", lang.word());
    }
    missing.is_none()
}

/// Compiled components, kept from one run to the next: an interpreter takes half a minute.
fn cache() -> PathBuf {
    root().join("target/kit-tests/cache")
}

/// A plugin from a template, built; `change` may change its source first. Always in the same place.
fn built(kind: Kind, lang: Lang, name: &str, change: impl FnOnce(String) -> String) -> Project {
    let place = root().join("target/kit-tests/languages").join(lang.word());
    let _ = std::fs::remove_dir_all(place.join(name));
    let folder = kit::create(kind, &format!("me.{name}"), lang, &place, None).unwrap();
    if let Lang::Python | Lang::Js = lang {
        let source = folder.join(if lang == Lang::Python { "src/plugin.py" } else { "src/plugin.js" });
        let text = std::fs::read_to_string(&source).unwrap();
        std::fs::write(&source, change(text)).unwrap();
    }
    let project = Project::open(&folder).unwrap();
    kit::build(&project, &making()).unwrap_or_else(|e| panic!("{}: {e:#}", lang.word()));
    project
}

fn loaded(project: &Project, lang: Lang, lock: &Path) -> Arc<Plugin> {
    let config = LoaderConfig {
        plugin_dirs: vec![project.folder.clone()],
        cache_dir: cache(),
        lock_file: lock.join("lock.json"),
        ..LoaderConfig::default()
    };
    if lang == Lang::C {
        loader::approve(&config.lock_file, &project.dist()).unwrap();
    }
    let loader = Loader::new(config).unwrap();
    assert!(loader.problems().is_empty(), "{:?}", loader.problems());
    loader.plugin(&project.manifest.id).unwrap()
}

/// Greys, colours and alpha of several sizes; the last is one pixel.
fn pictures() -> Vec<Image> {
    let noise = |n: usize, mut x: u32| {
        let mut next = move || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        };
        (0..n).map(|_| next()).collect::<Vec<u8>>()
    };
    let mut all = Vec::new();
    for level in [0, 98, 99, 100, 101, 255] {
        all.push(Image::new(8, 8, PixelFormat::L8, vec![level; 64]).unwrap());
    }
    for seed in 0..4 {
        let dark: Vec<u8> = noise(33 * 17 * 3, seed).into_iter().map(|p| p / (1 + seed as u8)).collect();
        all.push(Image::new(33, 17, PixelFormat::Rgb8, dark).unwrap());
        all.push(Image::new(9, 40, PixelFormat::Rgba8, noise(9 * 40 * 4, seed)).unwrap());
    }
    all.push(Image::new(1, 1, PixelFormat::Rgb8, vec![99, 100, 99]).unwrap());
    all
}

/// Answers as JSON, errors among them.
fn captions(plugin: &Plugin, settings: &Value, images: Vec<Image>) -> Vec<String> {
    let mut captioner = plugin.open_captioner(settings, CallContext::default()).unwrap();
    let request = |image| CaptionRequest { image, known: spec::Annotation::default() };
    let answers = captioner.caption(images.into_iter().map(request).collect()).unwrap();
    answers.into_iter().map(|a| serde_json::to_string(&a.unwrap()).unwrap()).collect()
}

#[test]
fn one_captioner_in_four_languages_gives_equal_answers() {
    let _one = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for lang in [Lang::Rust, Lang::C, Lang::Python, Lang::Js] {
        if !there("one_captioner_in_four_languages_gives_equal_answers", lang) {
            continue;
        }
        let project = built(Kind::Captioner, lang, "dark", |text| text);
        let plugin = loaded(&project, lang, dir.path());
        let answers: Vec<_> = [json!({}), json!({"threshold": 120}), json!({"threshold": 64}), json!({"threshold": 0})]
            .iter()
            .map(|settings| captions(&plugin, settings, pictures()))
            .collect();
        let errors: Vec<String> = [json!({"threshold": 256}), json!({"threshold": -1}), json!({"nothing": 1})]
            .iter()
            .map(|settings| match plugin.open_captioner(settings, CallContext::default()) {
                Ok(_) => panic!("{}: {settings} is accepted", lang.word()),
                Err(loader::LoadError::Call { kind, .. }) => format!("{kind:?}"),
                Err(e) => panic!("{}: {e}", lang.word()),
            })
            .collect();
        all.push((lang, answers, errors));
    }
    let (first, answers, errors) = all.first().expect("not one language can be built here");
    let both = |word: &str| answers.iter().flatten().any(|a| a.contains(word));
    assert!(both("dark") && both("bright"), "{answers:?}");
    for (lang, others, refusals) in &all[1..] {
        assert_eq!(others, answers, "{} and {}", lang.word(), first.word());
        assert_eq!(refusals, errors, "{} and {}", lang.word(), first.word());
    }
    println!("equal answers: {}", all.iter().map(|(l, ..)| l.word()).collect::<Vec<_>>().join(", "));
}

#[test]
fn templates_of_every_kind_pass_the_suite_and_agree() {
    let _one = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let cache = cache();
    let bench = Bench { form: Form::Wasm, cache: &cache, inference: None, compiler: None };
    let mut answers = Vec::new();
    for lang in [Lang::Python, Lang::Js, Lang::Rust] {
        if !there("templates_of_every_kind_pass_the_suite_and_agree", lang) {
            continue;
        }
        for (kind, name) in [
            (Kind::Captioner, "dark"),
            (Kind::TagFilter, "rare-tags"),
            (Kind::DatasetSource, "files"),
            (Kind::Evaluator, "contrast"),
            (Kind::Node, "invert"),
        ] {
            let project = built(kind, lang, name, |text| text);
            if lang != Lang::Rust {
                let report = kit::suite::run(&project.dist(), &Setup::default(), &bench).unwrap();
                let failures: Vec<_> = report.failures().collect();
                assert!(failures.is_empty(), "{}: {failures:#?}", lang.word());
                let passed = report.findings.iter().filter(|f| matches!(f.outcome, Outcome::Passed(_))).count();
                assert!(passed >= 6, "{report:#?}");
                println!("{report:#?}");
            }
            let plugin = loaded(&project, lang, dir.path());
            let said = match kind {
                Kind::Captioner => captions(&plugin, &json!({}), pictures()).join("\n"),
                Kind::TagFilter => format!("{:?}", filtered(&plugin)),
                Kind::DatasetSource => format!("{:?}", listed(&plugin, dir.path())),
                Kind::Evaluator => format!("{:?}", scored(&plugin)),
                Kind::Node => format!("{:?}", inverted(&plugin)),
            };
            answers.push((kind, lang, said));
        }
    }
    for (kind, lang, said) in &answers {
        let (_, first, expected) = answers.iter().find(|(k, ..)| k == kind).unwrap();
        assert_eq!(said, expected, "{kind:?} in {} and {}", lang.word(), first.word());
    }
}

/// All pages of two, an instance each.
fn listed(plugin: &Plugin, dir: &Path) -> Vec<data::Page> {
    let folder = dir.join("pictures");
    for name in ["b.png", "a.JPG", "deep/c.webp", "deep/er/é.jpeg", "notes.txt", "png"] {
        compile::write(&folder.join(name), b"x").unwrap();
    }
    let mut pages: Vec<data::Page> = Vec::new();
    loop {
        let folders = [("in".to_owned(), folder.clone())].into();
        let call = CallContext { folders, ..CallContext::default() };
        let mut source = plugin.open_dataset_source(&json!({"folder": "in"}), call).unwrap();
        let from = pages.last().and_then(|p| p.next.clone());
        pages.push(source.next_page(from, 3).unwrap());
        if pages.last().unwrap().next.is_none() {
            assert_eq!(pages.iter().map(|p| p.items.len()).collect::<Vec<_>>(), [3, 1]);
            return pages;
        }
    }
}

fn scored(plugin: &Plugin) -> (Vec<Vec<data::Score>>, Vec<data::Score>) {
    let mut evaluator = plugin.open_evaluator(&json!({"full": 50}), CallContext::default()).unwrap();
    let sample = |(n, image): (usize, Image)| data::Sample {
        id: n.to_string(),
        image,
        prompt: String::new(),
        reference: None,
        seed: None,
        extra: None,
    };
    let samples: Vec<_> = pictures().into_iter().enumerate().map(sample).collect();
    let scores = evaluator.add(samples).unwrap();
    let whole = evaluator.finish().unwrap();
    assert!(whole[0].value > 0.1 && evaluator.finish().unwrap().is_empty());
    (scores, whole)
}

/// Pixels of the inverted pictures.
fn inverted(plugin: &Plugin) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for image in pictures() {
        let image = ("image".to_owned(), vec![NodeValue::Image(image)]);
        let strength = ("strength".to_owned(), vec![NodeValue::Float(0.7)]);
        let call = NodeCall { inputs: [image, strength].into(), ..NodeCall::default() };
        let mut returned = plugin.run_node(plugin.id(), &call, CallContext::default()).unwrap();
        let loader::NodeFeed::Values(values) = returned.outputs.remove(0) else { panic!("a link") };
        let [NodeValue::Image(image)] = values.as_slice() else { panic!("{values:?}") };
        all.push(image.pixels.to_vec());
    }
    all
}

fn filtered(plugin: &Plugin) -> Vec<Verdict> {
    let tag = |name: &str| spec::Tag { name: name.into(), score: Some(0.25), category: Some("general".into()) };
    let request = |n: usize, tags: &[&str]| FilterRequest {
        id: n.to_string(),
        subset: String::new(),
        annotation: spec::Annotation { tags: tags.iter().map(|t| tag(t)).collect(), ..spec::Annotation::default() },
    };
    let all = vec![request(0, &["a", "b", "ü"]), request(1, &["a", "c"]), request(2, &["ü", "a"]), request(3, &[])];
    let mut filter = plugin.open_tag_filter(&json!({"min_images": 2}), CallContext::default()).unwrap();
    filter.observe(&all).unwrap();
    filter.apply(&all).unwrap()
}

/// What docs/plugins.md shows as this file.
fn shown_in_guide(file: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/plugins.md")).unwrap();
    let block = page.split(&format!(" file={file}\n")).nth(1).unwrap();
    block.split("\n```").next().unwrap().to_owned() + "\n"
}

#[test]
fn the_plugins_of_the_guide_pass_the_suite() {
    let _one = one_at_a_time();
    let dir = tempfile::tempdir().unwrap();
    let cache = cache();
    let bench = Bench { form: Form::Wasm, cache: &cache, inference: None, compiler: None };
    for (lang, name, file) in [(Lang::Python, "shade", "src/plugin.py"), (Lang::Js, "tint", "src/plugin.js")] {
        if !there("the_plugins_of_the_guide_pass_the_suite", lang) {
            continue;
        }
        let project = built(Kind::Captioner, lang, name, |_| shown_in_guide(file));
        let report = kit::suite::run(&project.dist(), &Setup::default(), &bench).unwrap();
        assert_eq!(report.findings.len(), 9, "as the guide says");
        let failures: Vec<_> = report.failures().collect();
        assert!(failures.is_empty(), "{failures:#?}");
        let (file, bytes) = kit::pack(&project, None).unwrap();
        assert_eq!(file, format!("me.{name}-0.1.0.anagama"));
        kit::Package::parse(&bytes).unwrap();
        let plugin = loaded(&project, lang, dir.path());
        let image = |w, h| Image::new(w, h, PixelFormat::L8, vec![0; (w * h) as usize]).unwrap();
        let said = captions(&plugin, &json!({}), vec![image(100, 100), image(104, 100), image(2, 3), image(3, 2)]);
        for (answer, word) in said.iter().zip(["square", "square", "portrait", "landscape"]) {
            assert!(answer.contains(word), "{said:?}");
        }
    }
}

/// A captioner in Python whose `caption` is this.
fn python(name: &str, body: &str) -> Project {
    built(Kind::Captioner, Lang::Python, name, |text| {
        let head = text.split("    def caption").next().unwrap().to_owned();
        let imports = "import os, random, socket, sys, time\n";
        let lines: String = body.lines().map(|l| format!("        {l}\n")).collect();
        head.replace("from anagama", &format!("{imports}from anagama"))
            + "    def caption(self, image, known):\n        case = self.threshold\n"
            + &lines
    })
}

#[test]
fn python_has_no_rights_and_says_why_it_failed() {
    let _one = one_at_a_time();
    if !there("python_has_no_rights_and_says_why_it_failed", Lang::Python) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let project = python(
        "nosy",
        r#"
def attempt(what):
    try:
        return repr(what())
    except Exception as e:
        return type(e).__name__
if case == 1:
    return tagged(*[attempt(f) for f in (
        lambda: open("/etc/passwd").read(),
        lambda: open("new.txt", "w"),
        lambda: os.listdir("/"),
        lambda: dict(os.environ),
        lambda: sys.stdin.read(),
        lambda: socket.getaddrinfo(b"example.com", 80),
        lambda: socket.socket(),
    )])
if case == 2:
    start = time.monotonic()
    time.sleep(0.05)
    return tagged(str(random.Random().random()), os.urandom(4).hex(), time.strftime("%Y"), str(time.monotonic() - start >= 0.05))
if case == 3:
    print("looking at", image.width())
    print("a warning", file=sys.stderr)
    raise ValueError("the sky is missing")
if case == 4:
    time.sleep(60)
if case == 5:
    everything = []
    while True:
        everything.append(bytearray(1 << 20))
if case == 6:
    sys.exit(3)
return tagged("fine")
"#,
    );
    let plugin = loaded(&project, Lang::Python, dir.path());
    let log = Arc::new(Mutex::new(Vec::<(Level, String)>::new()));
    let asked = |case: u32, seed: u64| {
        let kept = log.clone();
        let limits = Limits { deadline: Duration::from_secs(if case == 4 { 1 } else { 30 }), ..Limits::default() };
        let call = CallContext {
            seed,
            limits: Some(limits),
            log: Arc::new(move |level, line| kept.lock().unwrap().push((level, line.to_owned()))),
            ..CallContext::default()
        };
        let mut captioner = plugin.open_captioner(&json!({ "threshold": case }), call).unwrap();
        let image = Image::new(8, 8, PixelFormat::L8, vec![7; 64]).unwrap();
        let mut answers =
            captioner.caption(vec![CaptionRequest { image, known: spec::Annotation::default() }]).unwrap();
        let answer = answers.remove(0).map(|a| a.tags.into_iter().map(|t| t.name).collect::<Vec<_>>());
        answer.map_err(|e| e.to_string())
    };
    assert_eq!(asked(0, 0).unwrap(), ["fine"]);
    let tried = asked(1, 0).unwrap();
    println!("denied: {tried:?}");
    assert_eq!(tried.len(), 7);
    assert_eq!((tried[3].as_str(), tried[4].as_str()), ("{}", "''"));
    for n in [0, 1, 2, 5, 6] {
        assert!(tried[n].ends_with("Error") || tried[n].ends_with("error"), "{tried:?}");
    }
    let (a, b, other) = (asked(2, 7).unwrap(), asked(2, 7).unwrap(), asked(2, 8).unwrap());
    println!("random, clock: {a:?} {other:?}");
    assert_eq!(a, b, "the same seed gives the same numbers");
    assert_ne!(a[..2], other[..2]);
    assert_eq!(&a[2..], ["2020", "True"]);
    let e = asked(3, 0).unwrap_err();
    println!("exception: {e}");
    assert!(e.contains("ValueError: the sky is missing") && e.contains("line "), "{e}");
    let said = log.lock().unwrap().clone();
    assert!(said.iter().any(|(l, t)| *l == Level::Info && t.contains("looking at 8")), "{said:?}");
    assert!(said.iter().any(|(l, t)| *l == Level::Warn && t.contains("a warning")), "{said:?}");
    let start = Instant::now();
    let e = asked(4, 0).unwrap_err();
    assert!(e.contains("longer than the 1.0 s") && start.elapsed() < Duration::from_secs(10), "{e}");
    let e = asked(5, 0).unwrap_err();
    println!("memory: {e}");
    assert!(e.contains("the limit is 256 MiB"), "{e}");
    let e = asked(6, 0).unwrap_err();
    println!("exit: {e}");
    assert_eq!(asked(0, 0).unwrap(), ["fine"], "the host goes on");
}

#[test]
fn javascript_says_why_it_failed() {
    let _one = one_at_a_time();
    if !there("javascript_says_why_it_failed", Lang::Js) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let project = built(Kind::Captioner, Lang::Js, "odd", |text| {
        text.replace(
            "const grey",
            "if (this.threshold === 1) throw new Error(\"the sky is missing\");\n    if (this.threshold === 2) \
             refuse(\"too dark to see\");\n    if (this.threshold === 3) for (;;);\n    if (this.threshold === 4) return \
             tagged(String(Math.random()), String(Date.now()));\n    const grey",
        )
        .replace("tagged }", "refuse, tagged }")
    });
    let plugin = loaded(&project, Lang::Js, dir.path());
    let asked = |case: u32| {
        let limits = Limits { deadline: Duration::from_secs(1), ..Limits::default() };
        let log: loader::LogFn = Arc::new(|_, line| println!("{line}"));
        let call = CallContext { limits: Some(limits), log, ..CallContext::default() };
        let mut captioner = plugin.open_captioner(&json!({ "threshold": case }), call).unwrap();
        let image = Image::new(8, 8, PixelFormat::L8, vec![7; 64]).unwrap();
        let mut answers =
            captioner.caption(vec![CaptionRequest { image, known: spec::Annotation::default() }]).unwrap();
        let answer = answers.remove(0).map(|a| a.tags.into_iter().map(|t| t.name).collect::<Vec<_>>());
        answer.map_err(|e| e.to_string())
    };
    assert_eq!(asked(9).unwrap(), ["dark"]);
    let e = asked(1).unwrap_err();
    println!("exception: {e}");
    assert!(e.contains("crashed: Error: the sky is missing (at caption") && e.contains("plugin.js:13"), "{e}");
    let e = asked(2).unwrap_err();
    assert!(e.contains("too dark to see") && !e.contains("crashed"), "{e}");
    assert!(asked(3).unwrap_err().contains("longer than the 1.0 s"));
    let world = asked(4).unwrap();
    println!("random, clock: {world:?}");
    assert_eq!(world, asked(4).unwrap());
}

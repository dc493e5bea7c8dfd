//! What an author does, from a template to an installed plugin, without the program around it. What needs compilers
//! prints that it is skipped where they are missing.
#![allow(clippy::unwrap_used)]

use data::CaptionRequest;
use kit::install::{Consent, Installer, install, installed, remove, update};
use kit::suite::{Bench, Outcome, Report, Setup};
use kit::{Index, Key, Lang, Making, Package, Project, pack};
use loader::{CallContext, Form, Kind, Loader, LoaderConfig};
use serde_json::json;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn fixture() -> PathBuf {
    root().join("tests/fixtures/test.mean-colour-0.1.0.anagama")
}

fn making() -> Making {
    Making {
        programs: compile::Programs {
            cargo: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
            path: std::env::var_os("PATH").unwrap(),
        },
        // The dependencies of all templates, built once.
        target: Some(root().join("target/kit-tests")),
        native: false,
        set_up: false,
        cc: "cc".into(),
        tools: root().join("target/kit-tests/tools"),
    }
}

fn passes(report: &Report) {
    let failures: Vec<_> = report.failures().collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let passed = report.findings.iter().filter(|f| matches!(f.outcome, Outcome::Passed(_))).count();
    assert!(passed >= 6, "{report:#?}");
}

fn bench(form: Form, cache: &Path) -> Bench<'_> {
    Bench { form, cache, inference: None, compiler: None }
}

fn picture(level: u8) -> data::Image {
    data::Image::new(8, 8, data::PixelFormat::L8, vec![level; 64]).unwrap()
}

#[test]
fn templates_in_rust_build_and_pass_the_suite() {
    if let Err(e) = compile::Toolchain::find(false) {
        eprintln!("SKIPPED: templates_in_rust_build_and_pass_the_suite: {e:#}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Always the same place, or what cargo keeps of each would pile up.
    let place = root().join("target/kit-tests/templates");
    let _ = std::fs::remove_dir_all(&place);
    for kind in [Kind::Captioner, Kind::DatasetSource, Kind::TagFilter, Kind::Evaluator, Kind::Node] {
        let name = format!("me.my-{}", kit::word(kind));
        let folder = kit::create(kind, &name, Lang::Rust, &place, None).unwrap();
        let project = Project::open(&folder).unwrap();
        let made = kit::build(&project, &making()).unwrap_or_else(|e| panic!("{name}: {e:#}"));
        assert_eq!(made.len(), 2);
        let report =
            kit::suite::run(&project.dist(), &Setup::default(), &bench(Form::Wasm, &dir.path().join("cache"))).unwrap();
        println!("{report:#?}");
        passes(&report);
        if kind == Kind::Captioner {
            let config = LoaderConfig { plugin_dirs: vec![folder], ..host(dir.path()) };
            assert_eq!(shades(config, &name), ["dark", "bright", "bright"], "as the template in C has it");
        }
    }
}

#[test]
fn the_template_in_c_builds_and_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let folder = kit::create(Kind::Captioner, "me.dark", Lang::C, dir.path(), None).unwrap();
    let project = Project::open(&folder).unwrap();
    if let Err(e) = kit::build(&project, &making()) {
        assert!(e.to_string().contains("no C compiler"), "{e:#}");
        eprintln!("SKIPPED: the_template_in_c_builds_and_passes_the_suite: {e:#}");
        return;
    }
    let cache = dir.path().join("cache");
    let e = kit::suite::run(&project.dist(), &Setup::default(), &bench(Form::Wasm, &cache)).unwrap_err().to_string();
    assert!(e.contains("--native"), "native code is not run unasked: {e}");
    let report = kit::suite::run(&project.dist(), &Setup::default(), &bench(Form::Native, &cache)).unwrap();
    println!("{report:#?}");
    passes(&report);

    let config = LoaderConfig {
        plugin_dirs: vec![folder.clone()],
        cache_dir: cache,
        lock_file: dir.path().join("lock.json"),
        ..LoaderConfig::default()
    };
    loader::approve(&config.lock_file, &project.dist()).unwrap();
    assert_eq!(shades(config, "me.dark"), ["dark", "bright", "bright"]);
}

/// What a captioner calls three greys, the last of them seen through nothing.
fn shades(config: LoaderConfig, id: &str) -> Vec<String> {
    let plugin = Loader::new(config).unwrap().plugin(id).unwrap();
    let mut captioner = plugin.open_captioner(&json!({"threshold": 120}), CallContext::default()).unwrap();
    let clear = data::Image::new(2, 2, data::PixelFormat::Rgba8, vec![0; 16]).unwrap();
    let request = |image| CaptionRequest { image, known: spec::Annotation::default() };
    let answers = captioner.caption([picture(119), picture(120), clear].map(request).into()).unwrap();
    answers.into_iter().map(|a| a.unwrap().tags.remove(0).name).collect()
}

#[test]
fn a_missing_c_compiler_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = kit::create(Kind::Captioner, "dark", Lang::C, dir.path(), None).unwrap();
    let making = Making { cc: "no-such-compiler".into(), ..making() };
    let e = kit::build(&Project::open(&folder).unwrap(), &making).unwrap_err().to_string();
    assert!(e.contains("no C compiler: `no-such-compiler`"), "{e}");
}

#[test]
fn what_is_saved_is_built_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = kit::create(Kind::Captioner, "dark", Lang::C, dir.path(), None).unwrap();
    if compile::output(std::process::Command::new("cc").arg("--version")).is_none() {
        eprintln!("SKIPPED: what_is_saved_is_built_again: no C compiler `cc`");
        return;
    }
    let source = folder.join("src/plugin.c");
    let text = std::fs::read_to_string(&source).unwrap();
    let mut rounds = Vec::new();
    kit::watch(&folder, &making(), |built| {
        rounds.push(built.is_ok());
        match rounds.len() {
            1 => std::fs::write(&source, "no C").unwrap(),
            2 => std::fs::write(&source, &text).unwrap(),
            _ => {}
        }
        rounds.len() < 3
    })
    .unwrap();
    assert_eq!(rounds, [true, false, true]);
}

/// A host with one folder of plugins.
fn host(dir: &Path) -> LoaderConfig {
    LoaderConfig {
        plugin_dirs: vec![dir.join("plugins")],
        cache_dir: dir.join("cache"),
        lock_file: dir.join("lock.json"),
        ..LoaderConfig::default()
    }
}

/// The fixture's component as a plugin of another version that asks for something.
fn package(dir: &Path, version: &str, requests: &str, key: Option<&Key>) -> PathBuf {
    let fixture = Package::read(&fixture()).unwrap();
    let folder = dir.join("sources").join(version);
    let text = format!(
        "id = \"test.mean-colour\"\nversion = \"{version}\"\nwit = \"anagama:plugin@0.1.0\"\ncomponent = \
         \"mean_colour.wasm\"\n[requests]\n{requests}\n"
    );
    compile::write(&folder.join("plugin.toml"), text.as_bytes()).unwrap();
    compile::write(&folder.join("dist/plugin.toml"), text.as_bytes()).unwrap();
    compile::write(&folder.join("dist/mean_colour.wasm"), &fixture.files["mean_colour.wasm"]).unwrap();
    compile::write(&folder.join("README.md"), b"Means.").unwrap();
    let (name, bytes) = pack(&Project::open(&folder).unwrap(), key).unwrap();
    assert_eq!(name, format!("test.mean-colour-{version}.anagama"));
    compile::write(&dir.join("offers").join(&name), &bytes).unwrap();
    dir.join("offers").join(name)
}

#[test]
fn a_plugin_of_the_first_contract_still_loads_and_works() {
    let dir = tempfile::tempdir().unwrap();
    let config = host(dir.path());
    let done = install(&Installer { config: &config }, &fixture(), None).unwrap();
    assert_eq!((done.id.as_str(), done.version.as_str(), done.asks.len()), ("test.mean-colour", "0.1.0", 0));
    let loader = Loader::new(config).unwrap();
    assert!(loader.problems().is_empty(), "{:?}", loader.problems());
    let plugin = loader.plugin("test.mean-colour").unwrap();
    let mut captioner = plugin.open_captioner(&json!({"prefix": "x"}), CallContext::default()).unwrap();
    let request = CaptionRequest { image: picture(128), known: spec::Annotation::default() };
    let answer = captioner.caption(vec![request]).unwrap().remove(0).unwrap();
    assert_eq!(answer.text.as_deref(), Some("x, 8x8, mean #808080"));
    let built = dir.path().join("plugins/test.mean-colour");
    passes(&kit::suite::run(&built, &Setup::default(), &bench(Form::Wasm, &dir.path().join("cache"))).unwrap());
}

#[test]
fn plugins_are_installed_updated_and_removed_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (config, offers) = (host(dir.path()), dir.path().join("offers"));
    let installer = Installer { config: &config };
    let first = package(dir.path(), "1.0.0", "models = [\"taggers/*\"]", None);
    let done = install(&installer, &first, None).unwrap();
    assert_eq!(done.asks, ["run models named taggers/*"]);
    assert_eq!(installed(&config), ["test.mean-colour"]);
    assert!(dir.path().join("plugins/test.mean-colour/README.md").is_file());
    let e = install(&installer, &first, None).unwrap_err().to_string();
    assert!(e.contains("installed already"), "{e}");
    assert_eq!(update(&installer, "test.mean-colour", None, Consent::default()).unwrap(), None);

    // An index beside the packages: the newest counts.
    let (key, _) = Key::generate().unwrap();
    package(dir.path(), "1.0.1", "models = [\"taggers/*\"]", Some(&key));
    let more = package(dir.path(), "1.1.0", "models = [\"taggers/*\"]\nhttp = [\"https://a.example/*\"]", Some(&key));
    let index = offers.join("index.json");
    compile::write(&index, &serde_json::to_vec(&Index::of(&offers).unwrap()).unwrap()).unwrap();
    let e = update(&installer, "test.mean-colour", Some(&index), Consent::default()).unwrap_err().to_string();
    assert!(e.contains("asks for more") && e.contains("NEW: ask https://a.example/*") && e.contains("--yes"), "{e}");
    let agreed = Consent { more: true, force: false };
    let done = update(&installer, "test.mean-colour", Some(&index), agreed).unwrap().unwrap();
    assert_eq!((done.before.as_deref(), done.version.as_str()), (Some("1.0.0"), "1.1.0"));
    assert_eq!(done.signed_by, Some(kit::fingerprint(&key.public())));

    // Neither somebody else's, nor an older one.
    let (other, _) = Key::generate().unwrap();
    let foreign = package(dir.path(), "1.2.0", "", Some(&other));
    let e = update(&installer, "test.mean-colour", Some(&foreign), agreed).unwrap_err().to_string();
    assert!(e.contains("signed by the key") && e.contains("--force"), "{e}");
    let e = update(&installer, "test.mean-colour", Some(&first), agreed).unwrap_err().to_string();
    assert!(e.contains("older than the installed"), "{e}");
    assert!(update(&installer, "test.mean-colour", Some(&more), agreed).unwrap().is_none());

    assert!(remove(&config, "test.other", false).unwrap_err().to_string().contains("test.mean-colour"));
    remove(&config, "test.mean-colour", false).unwrap();
    assert!(installed(&config).is_empty());
    let left: Vec<_> = std::fs::read_dir(dir.path().join("plugins")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_does_not_load_is_not_installed_and_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = host(dir.path());
    let installer = Installer { config: &config };
    install(&installer, &package(dir.path(), "1.0.0", "", None), None).unwrap();
    let folder = dir.path().join("sources/2.0.0");
    let broken = package(dir.path(), "2.0.0", "", None);
    compile::write(&folder.join("dist/mean_colour.wasm"), b"not wasm").unwrap();
    let (_, bytes) = pack(&Project::open(&folder).unwrap(), None).unwrap();
    compile::write(&broken, &bytes).unwrap();
    let e = format!("{:#}", update(&installer, "test.mean-colour", Some(&broken), Consent::default()).unwrap_err());
    assert!(e.contains("nothing was changed") && e.contains("not a component"), "{e}");
    let plugin = Loader::new(host(dir.path())).unwrap().plugin("test.mean-colour").unwrap();
    assert_eq!(plugin.version(), "1.0.0");
    assert_eq!(std::fs::read_dir(dir.path().join("plugins")).unwrap().count(), 1);

    // A folder that somebody wrote is not removed by mistake.
    std::fs::remove_file(dir.path().join("plugins/test.mean-colour/installed.json")).unwrap();
    assert!(remove(&config, "test.mean-colour", false).unwrap_err().to_string().contains("--force"));
    remove(&config, "test.mean-colour", true).unwrap();
}

#[test]
fn packing_says_what_is_not_built() {
    let dir = tempfile::tempdir().unwrap();
    let folder = kit::create(Kind::Captioner, "dark", Lang::Rust, dir.path(), None).unwrap();
    let project = Project::open(&folder).unwrap();
    let e = format!("{:#}", pack(&project, None).unwrap_err());
    assert!(e.contains("anagama plugin build"), "{e}");
    compile::copy(&folder.join("plugin.toml"), &project.dist().join("plugin.toml")).unwrap();
    let e = format!("{:#}", pack(&project, None).unwrap_err());
    assert!(e.contains("dark.wasm"), "{e}");
}

#[test]
fn the_suite_finds_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [("panics", json!({"nth": 1})), ("wrong-count", json!({"missing": 1})), ("forger", json!({}))];
    for (name, settings) in cases {
        let built = root().join("target/test-plugins").join(name);
        if !built.join("plugin.toml").is_file() {
            eprintln!("SKIPPED: the_suite_finds_what_is_wrong: {}: `cargo xtask guests` builds it", built.display());
            continue;
        }
        let setup = Setup { settings: [(format!("test.{name}"), settings)].into(), ..Setup::default() };
        let report = kit::suite::run(&built, &setup, &bench(Form::Wasm, &dir.path().join("cache"))).unwrap();
        println!("{report:#?}");
        assert!(report.failures().any(|f| f.check == "answers"), "{name}: {report:#?}");
    }
}

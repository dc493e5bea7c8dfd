//! The invariants of ARCHITECTURE.md, checked over `cargo metadata` and the sources.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tests::root;

/// Crates that mean tensors, pictures or sandboxes, with the crates of ours that may depend on them directly.
const HEAVY: &[(&str, &[&str])] = &[
    ("wasmtime", &["loader"]),
    ("libloading", &["loader"]),
    ("tract-onnx", &["inference"]),
    ("ort", &["inference"]),
    ("candle-core", &["models", "sample", "train", "nodes", "tests"]),
    ("candle-nn", &["models", "train", "tests"]),
    ("clap", &["app"]),
    ("rusqlite", &["server"]),
    ("wit-component", &["compile"]),
    ("ring", &["kit"]),
    ("tar", &["kit"]),
];

/// (crate, what it must not reach through normal dependencies, why)
const ABSENT: &[(&str, &[&str], &str)] = &[
    ("graph", &["candle-core", "image", "wasmtime", "engine", "data"], "graph knows no tensors and no engine"),
    ("engine", &["candle-core", "image", "wasmtime", "data", "models"], "engine moves opaque values"),
    ("data", &["candle-core", "wasmtime", "graph", "engine"], "data knows images and captions only"),
    ("sample", &["models", "train", "graph", "engine"], "sample knows no model family, only Denoiser"),
    ("models", &["graph", "engine", "nodes", "train", "sample"], "models knows no graph and no training loop"),
    ("train", &["loader", "wasmtime", "graph", "engine"], "train never sees plugins or graphs"),
    ("loader", &["candle-core", "graph", "engine", "models"], "loader knows no graph and no networks"),
    ("kit", &["candle-core", "graph", "engine", "models", "nodes"], "kit knows plugins, no graph and no networks"),
    ("compile", &["loader", "data", "spec", "wasmtime"], "compile knows programs and files only"),
    ("inference", &["candle-core", "wasmtime", "loader", "engine"], "inference only runs model files"),
    ("server", &["candle-core", "wasmtime", "models", "loader", "nodes"], "server knows graphs and the engine only"),
];

/// Of this machine's target alone: what only others need has not been downloaded.
fn metadata() -> &'static Metadata {
    static METADATA: OnceLock<Metadata> = OnceLock::new();
    METADATA.get_or_init(|| {
        let told = std::process::Command::new("rustc").arg("-vV").output().unwrap().stdout;
        let told = String::from_utf8(told).unwrap();
        let target = told.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        MetadataCommand::new()
            .manifest_path(root().join("Cargo.toml"))
            .other_options(["--offline".into(), "--filter-platform".into(), target.into()])
            .exec()
            .unwrap()
    })
}

fn members() -> impl Iterator<Item = &'static Package> {
    let ids: BTreeSet<&PackageId> = metadata().workspace_members.iter().collect();
    metadata().packages.iter().filter(move |p| ids.contains(&p.id))
}

/// The folder of a member below the root, such as `host/graph`.
fn folder(package: &Package) -> String {
    let dir = package.manifest_path.parent().unwrap();
    dir.strip_prefix(root().to_str().unwrap()).unwrap().to_string()
}

/// Names of everything that `name` needs to be built, itself left out; dev dependencies do not count.
fn reach(name: &str) -> BTreeSet<&'static str> {
    let meta = metadata();
    let names: BTreeMap<&PackageId, &str> = meta.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let nodes: BTreeMap<_, _> = meta.resolve.as_ref().unwrap().nodes.iter().map(|n| (&n.id, n)).collect();
    let start = members().find(|p| p.name.as_str() == name).unwrap_or_else(|| panic!("no crate `{name}`"));
    let (mut found, mut open) = (BTreeSet::new(), vec![&start.id]);
    while let Some(id) = open.pop() {
        for dep in &nodes[id].deps {
            let normal = dep.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal);
            if normal && found.insert(&dep.pkg) {
                open.push(&dep.pkg);
            }
        }
    }
    found.into_iter().map(|id| names[id]).collect()
}

#[test]
fn dependencies_point_one_way() {
    for (name, absent, why) in ABSENT {
        let reached = reach(name);
        for bad in *absent {
            assert!(!reached.contains(bad), "`{name}` reaches `{bad}`: {why}");
        }
    }
}

#[test]
fn heavy_crates_stay_where_they_belong() {
    for package in members() {
        for dep in package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal) {
            if let Some((heavy, allowed)) = HEAVY.iter().find(|(h, _)| *h == dep.name) {
                let name = package.name.as_str();
                assert!(allowed.contains(&name), "`{name}` depends on `{heavy}`; only {allowed:?} may");
            }
        }
    }
}

/// Is it a plugin that only tests use?
fn is_guest(folder: &str) -> bool {
    folder.starts_with("tests/guests/") || folder.starts_with("tests/plugins/")
}

#[test]
fn plugins_and_the_kit_know_nothing_of_the_host() {
    let host: BTreeSet<&str> = members().filter(|p| folder(p).starts_with("host/")).map(|p| p.name.as_str()).collect();
    for package in members() {
        let dir = folder(package);
        if !(dir.starts_with("plugins/") || dir.starts_with("sdk/") || is_guest(&dir)) {
            continue;
        }
        for dep in &package.dependencies {
            assert!(!host.contains(dep.name.as_str()), "{dir} depends on host crate `{}`", dep.name);
            let inside = dep.path.as_ref().is_none_or(|p| p.as_str().contains("/sdk/"));
            assert!(inside || !dir.starts_with("plugins/"), "{dir} depends on `{}`, not in sdk/", dep.name);
        }
    }
}

#[test]
fn only_glue_knows_both_the_engine_and_the_networks() {
    for package in members() {
        let name = package.name.as_str();
        let reached = reach(name);
        if reached.contains("engine") && (reached.contains("models") || reached.contains("loader")) {
            assert!(
                ["nodes", "app", "tests"].contains(&name),
                "`{name}` knows both sides; that is the place of `nodes`"
            );
        }
    }
}

/// Every Rust source of ours with its text and its path below the root.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                if !path.ends_with("target") {
                    walk(&path, out);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    for dir in ["host", "sdk", "plugins", "tests"] {
        walk(&root().join(dir), &mut paths);
    }
    paths
        .into_iter()
        .map(|p| (p.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&p).unwrap()))
        .collect()
}

/// The lines outside comments that contain `word` as a whole word.
fn code_lines<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    text.lines().enumerate().filter(move |(_, line)| {
        let code = line.split("//").next().unwrap_or("");
        code.match_indices(word).any(|(i, _)| {
            let before = code[..i].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '"');
            let after = code[i + word.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
            before && after
        })
    })
}

#[test]
fn unsafe_stays_at_the_borders() {
    const ALLOWED: &[&str] = &[
        "host/loader/",
        "sdk/plugin-sdk/",
        "sdk/plugin-abi/",
        "sdk/plugin-test/",
        "host/models/src/ops/",
        "tests/guests/",
        "tests/tidy.rs",
    ];
    for (path, text) in sources() {
        if !ALLOWED.iter().any(|a| path.starts_with(a)) {
            let found: Vec<_> = code_lines(&text, "unsafe").map(|(n, l)| format!("{}: {}", n + 1, l.trim())).collect();
            // `models` maps weight files into memory, which no safe interface offers.
            let mapped = path.starts_with("host/models/") && found.iter().all(|l| l.contains("map"));
            assert!(found.is_empty() || mapped, "{path} has unsafe code: {found:?}");
        }
    }
}

#[test]
fn every_unsafe_block_has_its_reason() {
    for (path, text) in sources().into_iter().filter(|(p, _)| p.starts_with("host/")) {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in code_lines(&text, "unsafe").filter(|(_, l)| l.contains("unsafe {")) {
            let near = &lines[n.saturating_sub(6)..=n];
            assert!(
                near.iter().any(|l| l.contains("SAFETY")),
                "{path}:{}: no SAFETY comment near `{}`",
                n + 1,
                line.trim()
            );
        }
    }
}

#[test]
fn only_the_app_reads_the_command_line_and_the_environment() {
    const ALLOWED: &[&str] = &["host/app/", "host/xtask/", "tests/", "sdk/spec-derive/", "sdk/plugin-test/"];
    for (path, text) in sources() {
        if ALLOWED.iter().any(|a| path.starts_with(a))
            || path.contains("/tests/")
            || path.contains("/benches/")
            || path.contains("/examples/")
            || path.ends_with("/build.rs")
            || path.ends_with("tests.rs")
        {
            continue;
        }
        for needle in ["env::var", "env::args", "env::var_os"] {
            for (n, line) in text.lines().enumerate().filter(|(_, l)| l.contains(needle)) {
                let test = line.contains("ANAGAMA_REFERENCE");
                assert!(test, "{path}:{}: `{}`; only the app reads the environment", n + 1, line.trim());
            }
        }
    }
}

#[test]
fn files_stay_readable() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 800, "{path} has {lines} lines; split it");
    }
}

/// rustdoc takes seconds for each library, examples or none.
#[test]
fn libraries_with_examples_in_their_docs_and_no_others_have_them_run() {
    let is_example = |line: &str| ["/// ```", "//! ```"].iter().any(|mark| line.trim_start().starts_with(mark));
    let sources = sources();
    for package in members() {
        let place = format!("{}/src/", folder(package));
        let Some(library) = package.targets.iter().find(|t| t.src_path.as_str().ends_with("lib.rs")) else { continue };
        let inside = sources.iter().filter(|(path, _)| path.starts_with(&place));
        let examples = inside.flat_map(|(_, text)| text.lines()).any(is_example);
        let what = if examples { "remove `doctest = false`" } else { "add `doctest = false` below [lib]" };
        assert_eq!(library.doctest, examples, "{}/Cargo.toml: {what}", folder(package));
    }
}

#[test]
fn each_plugin_kind_has_the_same_stem_everywhere() {
    for kind in ["captioner", "dataset-source", "tag-filter", "evaluator", "node"] {
        let stem = kind.replace('-', "_");
        let wit: String = std::fs::read_dir(root().join("wit"))
            .unwrap()
            .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
            .collect();
        assert!(wit.contains(&format!("interface {kind} {{")), "wit/ has no interface {kind}");
        for dir in ["host/loader/src/kinds", "sdk/plugin-sdk/src"] {
            let file = root().join(dir).join(format!("{stem}.rs"));
            assert!(file.exists(), "{} is missing", file.display());
        }
    }
}

#[test]
fn the_map_names_every_crate_and_every_fixed_package_is_used() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for package in members().filter(|p| !is_guest(&folder(p))) {
        assert!(map.contains(&format!("`{}`", folder(package))), "ARCHITECTURE.md does not name `{}`", folder(package));
    }
    let used: BTreeSet<&str> = members().flat_map(|p| p.dependencies.iter().map(|d| d.name.as_str())).collect();
    for fixed in
        ["wasmtime", "wit-bindgen", "libloading", "candle-core", "candle-nn", "safetensors", "serde_json", "tokio"]
    {
        assert!(used.contains(fixed), "no crate depends on `{fixed}`");
    }
}

#[test]
fn the_readme_has_the_two_commands() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(readme.contains(command), "README.md lacks `{command}`");
    }
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(ci.contains("cargo xtask test"));
}

#[test]
fn only_safetensors_are_read_as_weights() {
    for name in ["models", "train", "nodes"] {
        for bad in ["serde-pickle", "serde_pickle"] {
            assert!(!reach(name).contains(bad), "`{name}` reaches `{bad}`");
        }
    }
    for (path, text) in sources().into_iter().filter(|(p, _)| p.starts_with("host/")) {
        assert!(!text.contains("candle_core::pickle"), "{path} uses candle's pickle reader");
    }
}

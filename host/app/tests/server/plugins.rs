//! Plugins that change while the program runs, that crash in a process of their own, and that are refused something. Needs
//! what `cargo xtask guests --native` builds; without it the tests say that they are skipped.

use crate::support::Server;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Copies built plugins into `base/plugins`. None: one is not built, which is said.
fn install(base: &Path, names: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    for name in names {
        let from = ["test-plugins", "plugins"].map(|place| target.join(place).join(name));
        let Some(from) = from.into_iter().find(|f| f.is_dir()) else {
            eprintln!("SKIPPED: server::plugins: {name} is not built; `cargo xtask guests --native` builds it");
            return None;
        };
        let to = base.join("plugins").join(name);
        std::fs::create_dir_all(&to).unwrap();
        for file in std::fs::read_dir(from).unwrap().flatten() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    std::fs::write(base.join("anagama.toml"), "plugins = [\"plugins\"]\n").unwrap();
    Some(base.join("plugins").join(names[0]))
}

/// Asks until the answer is right.
#[track_caller]
fn becomes(server: &Server, right: impl Fn(&Value) -> bool) {
    let since = Instant::now();
    loop {
        let info = server.get("/object_info/test.mean-colour").json();
        if right(&info) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{info}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_plugin_that_is_built_anew_has_its_new_settings_without_a_new_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("plugins")).unwrap();
    std::fs::write(dir.path().join("anagama.toml"), "plugins = [\"plugins\"]\n").unwrap();
    let server = Server::start_in(dir.path(), &[]);
    assert_eq!(server.get("/object_info/test.mean-colour").json(), json!({}));

    let Some(folder) = install(dir.path(), &["mean-colour"]) else { return };
    let prefix = |info: &Value| {
        let inputs = &info["test.mean-colour"]["input"];
        let found = ["required", "optional"].iter().find_map(|part| inputs[part].get("prefix"));
        found.map_or(Value::Null, |input| input[1]["default"].clone())
    };
    becomes(&server, |info| prefix(info) == "a picture");

    // Another default, in place of the old one.
    let component = folder.join("mean_colour.wasm");
    let mut bytes = std::fs::read(&component).unwrap();
    let (old, new) = (b"a picture", b"a drawing");
    let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert!(!places.is_empty(), "the component has no default to change");
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    std::fs::write(&component, &bytes).unwrap();
    becomes(&server, |info| prefix(info) == "a drawing");
    let all = server.get("/object_info").json();
    assert_eq!(prefix(&all), "a drawing", "also in the list of all");

    std::fs::write(&component, b"half a component").unwrap();
    let since = Instant::now();
    while !server.log().contains("stays in use") {
        assert_eq!(prefix(&server.get("/object_info/test.mean-colour").json()), "a drawing", "the old one stays");
        assert!(since.elapsed() < Duration::from_secs(60), "{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(server.log().contains("not a component"), "{}", server.log());

    std::fs::remove_dir_all(&folder).unwrap();
    becomes(&server, |info| *info == json!({}));
}

/// The program in `base`.
fn run(base: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anagama"));
    command.args(args).current_dir(base).env("HOME", base);
    for (name, folder) in [("XDG_CONFIG_HOME", "config"), ("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")] {
        command.env(name, base.join(folder));
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    (output.status.code(), text)
}

/// A picture of another size.
const OTHER: &str = "examples/models/taggers/embedded-tagger/examples/ink.png";

/// A run over a picture that is 128 wide, which the plugin shall do something to, and one that is not.
fn workflow(base: &Path, class_type: &str, inputs: Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pictures = base.join("pictures");
    std::fs::create_dir_all(&pictures).unwrap();
    for (from, to) in [("tests/workflows/data/pictures/001.png", "hit.png"), (OTHER, "other.png")] {
        std::fs::copy(root.join(from), pictures.join(to)).unwrap();
    }
    let mut node = json!({"dataset": ["1", 0], "on_error": "skip", "width": 128});
    node.as_object_mut().unwrap().extend(inputs.as_object().unwrap().clone());
    let workflow = json!({
        "1": {"class_type": "anagama.folder-source", "inputs": {"folder": pictures, "captions": "ignore"}},
        "2": {"class_type": class_type, "inputs": node},
        "3": {"class_type": "SaveDataset", "inputs": {"dataset": ["2", 0], "folder": "rest", "kohya_folders": false}},
    });
    std::fs::write(base.join("workflow.json"), workflow.to_string()).unwrap();
}

#[test]
fn a_library_that_aborts_costs_its_pictures_and_not_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let Some(folder) = install(dir.path(), &["misbehaves", "folder-source"]) else { return };
    let (code, said) = run(dir.path(), &["plugins", "approve", folder.to_str().unwrap(), "--yes"]);
    assert_eq!(code, Some(0), "{said}");
    let config = "plugins = [\"plugins\"]\nprefer-native = true\nnative = \"process\"\n";
    std::fs::write(dir.path().join("anagama.toml"), config).unwrap();
    workflow(dir.path(), "test.misbehaves", json!({"how": "abort"}));
    let (code, said) = run(dir.path(), &["run", "workflow.json", "--out", "out", "--store", "store"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("hit.png") && said.contains("signal 6 (abort)"), "{said}");
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path().join("out/rest")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["other.png", "other.txt"], "{said}");
}

#[test]
fn explain_says_what_a_plugin_may_do_and_what_it_was_refused() {
    let dir = tempfile::tempdir().unwrap();
    if install(dir.path(), &["misbehaves", "folder-source"]).is_none() {
        return;
    }
    let (code, said) = run(dir.path(), &["plugins", "explain", "test.misbehaves"]);
    assert_eq!(code, Some(0), "{said}");
    for wanted in ["may:", "not reach the network", "remember up to 1 MiB", "was refused nothing lately"] {
        assert!(said.contains(wanted), "`{wanted}` is not in\n{said}");
    }
    let url = "http://board.example/posts.json?api_key=123456";
    workflow(dir.path(), "test.misbehaves", json!({"how": "fetch", "url": url}));
    let (_, said) = run(dir.path(), &["run", "workflow.json", "--out", "out", "--store", "store"]);
    assert!(said.contains("is not granted"), "{said}");
    let (_, said) = run(dir.path(), &["plugins", "explain", "test.misbehaves"]);
    assert!(
        said.contains("was refused lately") && said.contains("GET http://board.example/posts.json is not granted"),
        "{said}"
    );
    assert!(!said.contains("123456"), "{said}");
}

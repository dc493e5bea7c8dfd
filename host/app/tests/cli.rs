//! The program as a user or a script sees it: what it prints and how it exits.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with a configuration of its own, so that nobody's real one is read or written.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        bench.write("anagama.toml", "models = [\"models\"]\nplugins = [\"plugins\"]\nstore = \"store\"\n");
        bench
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn workflow(&self, workflow: &Value) {
        self.write("w.json", &workflow.to_string());
    }

    fn run(&self, args: &[&str]) -> Seen {
        Seen::from(self.command(args).output().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anagama"));
        command.args(args).current_dir(self.path());
        for (variable, folder) in
            [("HOME", "home"), ("XDG_CONFIG_HOME", "home/config"), ("XDG_CACHE_HOME", "home/cache")]
        {
            command.env(variable, self.path().join(folder));
        }
        command
    }
}

struct Seen {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Seen {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Seen {
    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) {
        let all = format!("{}\n{}", self.out, self.err);
        assert_eq!(self.code, code, "{all}");
        for part in parts {
            assert!(all.contains(part), "`{part}` is not in: {all}");
        }
    }
}

#[test]
fn help_documents_the_exit_codes() {
    Bench::new().run(&["--help"]).expect(0, &["Exit codes:", "3    stopped by Ctrl-C", "completions"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    let bench = Bench::new();
    bench.run(&["run"]).expect(2, &["WORKFLOW"]);
    bench.run(&["run", "absent.json"]).expect(2, &["absent.json: cannot be read"]);
    bench.write("w.json", "{ oops");
    bench.run(&["run", "w.json"]).expect(2, &["w.json: this is not JSON", "line 1 column 3"]);
    bench.write("w.json", r#"{"nodes": [{"id": 5, "type": "SaveImag", "mode": 0}], "links": [], "version": 0.4}"#);
    bench.run(&["check", "w.json"]).expect(2, &["node 5 (SaveImag)", "did you mean `SaveImage`", "--object-info"]);
    bench.workflow(&json!({"1": {"class_type": "SaveImage", "inputs": {}}}));
    bench.run(&["run", "w.json", "--set", "7.x=1"]).expect(2, &["--set 7.x=1: no node has the id, title or class `7`"]);
}

#[test]
fn every_problem_of_a_workflow_is_said_at_once() {
    let bench = Bench::new();
    bench.workflow(&json!({
        "1": {"class_type": "ImageScael", "inputs": {}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["3", 0]}},
        "3": {"class_type": "ImageScale", "inputs": {"image": ["2", 0]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    }));
    bench.run(&["check", "w.json"]).expect(2, &["node 1 (ImageScael)", "did you mean `ImageScale`", "→"]);
    let seen = bench.run(&["check", "w.json", "--json"]);
    let json: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(json["error"]["type"], "missing_node_type", "{json}");
    assert_eq!(json["error"]["extra_info"]["node_id"], "1", "{json}");
    assert_eq!(seen.code, 2);
}

#[test]
fn unknown_configuration_keys_list_the_known_ones() {
    let bench = Bench::new();
    bench.write("anagama.toml", "modles = []\n");
    bench.run(&["models", "list"]).expect(2, &["anagama.toml", "`modles`", "`models`", "`prefer-native`"]);
}

#[test]
fn a_reader_that_leaves_ends_the_program_without_a_word() {
    let bench = Bench::new();
    let mut command = bench.command(&["nodes", "--builtin", "--markdown"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let seen = Seen::from(child.wait_with_output().unwrap());
    seen.expect(141, &[]);
    assert_eq!(seen.err, "");
}

#[test]
fn nodes_are_listed_shown_and_described() {
    let bench = Bench::new();
    bench.run(&["nodes", "--builtin"]).expect(0, &["SaveImage", "KSampler"]);
    bench.run(&["nodes", "SaveImage"]).expect(0, &["### SaveImage", "| `images` * | IMAGE"]);
    bench.run(&["nodes", "SaveImag"]).expect(2, &["did you mean `SaveImage`"]);
    let seen = bench.run(&["nodes", "--builtin", "--json"]);
    let nodes: Vec<Value> = serde_json::from_str(&seen.out).unwrap();
    assert!(nodes.iter().any(|n| n["id"] == "KSampler"));
    let page = bench.run(&["nodes", "--builtin", "--markdown"]);
    page.expect(0, &["# Nodes", "## sampling", "### KSampler"]);
}

#[test]
fn empty_folders_of_models_and_plugins_say_where_they_were_looked_for() {
    let bench = Bench::new();
    bench.run(&["models", "list"]).expect(0, &["no models; looked in:", "models"]);
    bench.run(&["plugins", "list"]).expect(0, &["no plugins; looked in:", "plugins"]);
    bench.run(&["plugins", "explain", "anagama.absent"]).expect(2, &["`anagama.absent`: not installed"]);
    bench.run(&["plugins", "revoke", "anagama.absent"]).expect(2, &["no approval fits"]);
}

#[test]
fn nobody_approves_native_code_by_accident() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path().join("plugins/x")).unwrap();
    bench.run(&["plugins", "approve", "plugins/x"]).expect(2, &["with all your rights", "pass --yes"]);
    bench.run(&["plugins", "approve", "plugins/x", "--yes"]).expect(2, &["plugin.toml"]);
}

#[test]
fn completions_are_printed() {
    Bench::new().run(&["completions", "bash"]).expect(0, &["_anagama", "--prefer-native"]);
}

/// A 4 × 4 picture, scaled and saved.
fn picture_workflow(bench: &Bench, upscale: u32) {
    std::fs::copy(example_picture(), bench.path().join("in.png")).unwrap();
    bench.workflow(&json!({
        "1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "area", "width": upscale,
              "height": upscale, "crop": "disabled"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "small"}},
    }));
}

fn example_picture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/datasets/ohwx-character/001.png")
}

#[test]
fn a_run_writes_files_and_the_next_process_reuses_them() {
    let bench = Bench::new();
    picture_workflow(&bench, 32);
    bench.run(&["check", "w.json"]).expect(0, &["3 nodes, 1 outputs: nothing wrong"]);
    bench.run(&["run", "w.json", "--out", "made"]).expect(0, &["3 ran", "files:", "made/small"]);
    let seen = bench.run(&["run", "w.json", "--out", "made", "--json"]);
    assert_eq!(seen.code, 0, "{}", seen.err);
    let events: Vec<Value> = seen.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["ok"]), (&json!("run-finished"), &json!(true)));
    let ran = last["report"]["nodes"].as_array().unwrap().iter().filter(|n| n["status"] == "ran").count();
    assert_eq!(ran, 0, "{last}");
    let file = PathBuf::from(last["files"][0].as_str().unwrap());
    std::fs::remove_file(&file).unwrap();
    bench.run(&["run", "w.json", "--out", "made"]).expect(0, &["made/small"]);
    assert!(file.is_file(), "the lost file is back");
    bench.run(&["run", "w.json", "--out", "made", "--set", "2.width=16"]).expect(0, &["small_00002"]);
}

/// What the editor saves for the same: positions instead of names, and a note.
fn picture_in_the_editor() -> Value {
    json!({
        "nodes": [
            {"id": 1, "type": "LoadImage", "mode": 0, "outputs": [{"name": "IMAGE", "type": "IMAGE"}], "widgets_values": ["in.png", "image"]},
            {"id": 2, "type": "ImageScale", "mode": 0, "title": "Smaller",
             "inputs": [{"name": "image", "type": "IMAGE", "link": 7}], "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
             "widgets_values": ["area", 32, 32, "disabled"]},
            {"id": 3, "type": "SaveImage", "mode": 0, "inputs": [{"name": "images", "type": "IMAGE", "link": 8}], "widgets_values": ["small"]},
            {"id": 4, "type": "Note", "mode": 0, "widgets_values": ["a note"]},
        ],
        "links": [[7, 1, 0, 2, 0, "IMAGE"], [8, 2, 0, 3, 0, "IMAGE"]],
        "version": 0.4,
    })
}

#[test]
fn workflows_of_the_editor_are_converted_checked_and_run() {
    let bench = Bench::new();
    picture_workflow(&bench, 32);
    bench.workflow(&picture_in_the_editor());
    let seen = bench.run(&["convert", "w.json"]);
    let api: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(api["2"]["inputs"]["width"], 32, "{}", seen.err);
    assert_eq!(api["2"]["_meta"]["title"], "Smaller");
    assert!(api.get("4").is_none());
    bench.run(&["check", "w.json", "--set", "Smaller.width=16"]).expect(0, &["3 nodes, 1 outputs: nothing wrong"]);
    bench.run(&["run", "w.json", "--out", "made"]).expect(0, &["3 ran", "made/small"]);
    bench.write("api.json", &seen.out);
    bench.run(&["run", "api.json", "--out", "made"]).expect(0, &["0 nodes to run, 1 from the cache"]);
    let again = bench.run(&["convert", "api.json"]);
    assert_eq!(serde_json::from_str::<Value>(&again.out).unwrap()["2"]["inputs"], api["2"]["inputs"]);
}

#[test]
fn nodes_that_are_not_known_here_are_converted_by_another_servers_descriptions() {
    let bench = Bench::new();
    bench.workflow(&json!({"nodes": [{"id": 5, "type": "Foo", "widgets_values": [3]}], "links": []}));
    bench.run(&["convert", "w.json"]).expect(2, &["w.json: node 5 (Foo): there is no node `Foo`", "--object-info"]);
    bench.write("info.json", r#"{"Foo": {"input": {"required": {"count": ["INT", {}]}}, "display_name": "Foo!"}}"#);
    let seen = bench.run(&["convert", "--object-info", "info.json", "w.json"]);
    let api: Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(api, json!({"5": {"inputs": {"count": 3}, "class_type": "Foo", "_meta": {"title": "Foo!"}}}));
    bench.write("info.json", "[]");
    bench
        .run(&["convert", "--object-info", "info.json", "w.json"])
        .expect(2, &["info.json: expected the answer of /object_info"]);
}

#[test]
fn a_failing_node_exits_with_1_and_names_itself() {
    let bench = Bench::new();
    picture_workflow(&bench, 32);
    let whole = std::fs::read(bench.path().join("in.png")).unwrap();
    std::fs::write(bench.path().join("in.png"), &whole[..whole.len() / 2]).unwrap();
    bench.run(&["run", "w.json"]).expect(1, &["node 1 (LoadImage)", "in.png"]);
}

//! What a tagger said is kept: other thresholds, several taggers and other forms of the same weights, in whole runs.

use data::{Digest, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tests::{Anagama, root};

const TAGGER: &str = r#""2": {"class_type": "anagama.wd-tagger", "inputs": {"dataset": ["1", 0]}}"#;
const CHOICE: &str = r#""5": {"class_type": "anagama.wd-tagger", "inputs": {"dataset": ["1", 0], "general_threshold": 0.6}},
  "6": {"class_type": "anagama.tag-choice", "inputs": {"dataset": ["5", 0]}}"#;

fn pictures() -> PathBuf {
    root().join("examples/datasets/ohwx-character")
}

/// Runs the tagger, whose nodes are given, and saves what the node `last` gives; captions by file name.
fn captions(nodes: &str, last: &str, models: &Path, dir: &Path, set: &[&str]) -> BTreeMap<String, String> {
    let source = format!(
        r#""1": {{"class_type": "anagama.folder-source", "inputs": {{"folder": {:?}, "captions": "ignore"}}}}"#,
        pictures()
    );
    let save = format!(
        r#""4": {{"class_type": "SaveDataset", "inputs": {{"dataset": ["{last}", 0], "folder": "set", "kohya_folders": false}}}}"#
    );
    let config = format!("models = [{models:?}]\nplugins = [{:?}]\n", root().join("target/plugins"));
    let file = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let workflow = file("workflow.json", format!("{{{source},\n{nodes},\n{save}}}"));
    let config = file("anagama.toml", config);
    let mut call = Anagama::workflow(&workflow, &config, dir);
    call.command().env("XDG_CACHE_HOME", dir.join("cache"));
    for value in set {
        call.command().arg("--set").arg(value);
    }
    call.run().expect(0);
    let files = std::fs::read_dir(dir.join("out/set")).unwrap().map(|e| e.unwrap().path());
    let texts = files.filter(|p| p.extension().is_some_and(|e| e == "txt"));
    texts
        .map(|p| {
            let text = std::fs::read_to_string(&p).unwrap().trim().to_owned();
            (p.file_stem().unwrap().to_string_lossy().into_owned(), text)
        })
        .collect()
}

#[test]
fn another_threshold_is_chosen_from_the_scores_of_the_first_run() {
    let dir = tempfile::tempdir().unwrap();
    let models = root().join("examples/models");
    let strict = captions(TAGGER, "2", &models, dir.path(), &["2.general_threshold=0.6"]);
    assert!(strict.len() >= 10, "{strict:?}");

    // A mark in what was kept shows where the next answer comes from.
    let store = Store::open(dir.path().join("store")).unwrap();
    let mut marked = 0;
    for entry in std::fs::read_dir(pictures()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        let key = Digest::of(format!("anagama.wd-tagger\n{}", Digest::of(&bytes)).as_bytes()).to_string();
        let Some(record) = store.get_record("scores", &key).unwrap() else { continue };
        let mut kept: Value = serde_json::from_slice(&record).unwrap();
        let tags = kept["taggers/embedded-tagger"]["tags"].as_array_mut().unwrap();
        tags.push(serde_json::json!(["kept_mark", "general", 0.4]));
        store.put_record("scores", &key, kept.to_string().as_bytes()).unwrap();
        marked += 1;
    }
    assert_eq!(marked, strict.len());
    let usual = captions(TAGGER, "2", &models, dir.path(), &[]);
    assert!(usual.values().all(|text| text.contains("kept mark")), "{usual:?}");
    let lower_than_kept = captions(TAGGER, "2", &models, dir.path(), &["2.general_threshold=0.04"]);
    assert!(lower_than_kept.values().all(|text| !text.contains("kept mark")), "the model must have run again");
}

#[test]
fn a_choice_later_is_the_choice_at_once() {
    let models = root().join("examples/models");
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at_once = captions(TAGGER, "2", &models, first.path(), &["2.general_threshold=0.2"]);
    let later = captions(CHOICE, "6", &models, second.path(), &["6.general_threshold=0.2"]);
    assert_eq!(at_once, later);
    let few = captions(CHOICE, "5", &models, second.path(), &[]);
    assert!(few.iter().any(|(name, text)| *text != later[name]));
}

#[test]
fn a_tagger_in_safetensors_gives_the_captions_of_its_onnx_file() {
    let whole = root().join("examples/models/taggers/embedded-tagger");
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = second.path().join("models/taggers/embedded-tagger");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["model.safetensors", "config.json", "selected_tags.csv"] {
        std::fs::copy(whole.join(file), folder.join(file)).unwrap();
    }
    let onnx = captions(TAGGER, "2", &root().join("examples/models"), first.path(), &[]);
    let models = second.path().join("models");
    let own = captions(TAGGER, "2", &models, second.path(), &["2.parallel=1"]);
    assert_eq!(onnx, own);

    // More instances than there are cores: their pictures wait for each other, and are computed together.
    let third = tempfile::tempdir().unwrap();
    assert_eq!(own, captions(TAGGER, "2", &models, third.path(), &["2.parallel=64"]));
}

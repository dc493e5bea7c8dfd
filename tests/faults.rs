//! What a bad plugin may do, and what happens then: its node fails with an error that says who and why, while the host
//! and the other nodes go on.

use serde_json::{Value, json};
use tests::{Anagama, Finished, root};

/// Three captioned pictures.
fn pictures() -> String {
    root().join("tests/workflows/data/pictures").to_str().unwrap().to_owned()
}

/// A run of one bad captioner beside an independent branch that must finish.
fn run_beside_a_good_branch(class_type: &str, inputs: &Value) -> (Finished, tempfile::TempDir) {
    let mut bad = json!({"dataset": ["1", 0]});
    for (name, value) in inputs.as_object().unwrap() {
        bad[name] = value.clone();
    }
    let workflow = json!({
        "1": {"class_type": "anagama.folder-source", "inputs": {"folder": pictures()}},
        "2": {"class_type": class_type, "inputs": bad},
        "3": {"class_type": "SaveDataset", "inputs": {"dataset": ["2", 0], "folder": "bad"}},
        "4": {"class_type": "anagama.palette-tagger", "inputs": {"dataset": ["1", 0]}},
        "5": {"class_type": "SaveDataset", "inputs": {"dataset": ["4", 0], "folder": "good", "kohya_folders": false}},
    });
    run(&workflow)
}

fn run(workflow: &Value) -> (Finished, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("workflow.json");
    std::fs::write(&file, workflow.to_string()).unwrap();
    let config = root().join("tests/workflows/anagama.toml");
    let finished = Anagama::workflow(&file, &config, dir.path()).run();
    (finished, dir)
}

/// The bad node failed with all of `texts`, named its plugin, and the good branch wrote its three pictures.
#[track_caller]
fn fails_alone(class_type: &str, inputs: &Value, texts: &[&str]) {
    let (finished, dir) = run_beside_a_good_branch(class_type, inputs);
    let text = finished.text();
    assert_eq!(finished.code(), Some(1), "{text}");
    for wanted in [class_type, "0.1.0", "captioner"].iter().chain(texts) {
        assert!(text.contains(wanted), "`{wanted}` is not in\n{text}");
    }
    let good = std::fs::read_dir(dir.path().join("out/good")).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let captions = good.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "txt")).count();
    assert_eq!(captions, 3, "{text}");
    assert!(!dir.path().join("out/bad").exists(), "a failed branch wrote its result");
}

#[test]
fn a_plugin_that_panics_fails_its_node() {
    fails_alone("test.panics", &json!({}), &["002.png", "where the test plugin panics"]);
}

#[test]
fn a_plugin_that_loops_is_stopped_at_its_deadline() {
    fails_alone("test.spins", &json!({}), &["001.png", "took longer than the 5.0 s"]);
}

#[test]
fn a_plugin_that_eats_memory_is_stopped_at_its_cap() {
    fails_alone("test.hungry", &json!({}), &["001.png", "memory"]);
}

#[test]
fn a_plugin_that_forges_a_handle_is_stopped() {
    fails_alone("test.forger", &json!({}), &["001.png", "handle"]);
}

#[test]
fn a_plugin_that_answers_too_little_is_told_so() {
    fails_alone("test.wrong-count", &json!({}), &["answer"]);
}

#[test]
fn a_plugin_that_calls_a_host_it_was_not_granted_is_refused_by_name() {
    fails_alone("test.fetcher", &json!({}), &["example.invalid", "http"]);
}

#[test]
fn a_failed_picture_can_be_skipped() {
    let workflow = json!({
        "1": {"class_type": "anagama.folder-source", "inputs": {"folder": pictures()}},
        "2": {"class_type": "test.panics", "inputs": {"dataset": ["1", 0], "on_error": "skip"}},
        "3": {"class_type": "SaveDataset", "inputs": {"dataset": ["2", 0], "folder": "rest", "kohya_folders": false}},
    });
    let (finished, dir) = run(&workflow);
    let finished = finished.expect(0);
    assert!(finished.text().contains("002.png"), "{}", finished.text());
    let pictures = std::fs::read_dir(dir.path().join("out/rest")).unwrap();
    let pictures = pictures.filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "png")).count();
    assert_eq!(pictures, 2, "{}", finished.text());
}

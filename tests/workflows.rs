//! A folder is a test case: `workflows/<case>/workflow.json` with `error.txt`: first `exit N`, then texts that the program
//! must print and, as `type T`, ComfyUI's error types. Every workflow in `examples/` must be valid.

#[path = "main_job.rs"]
mod main_job;

use std::path::{Path, PathBuf};
use tests::{Anagama, root};

fn folders(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.join("workflow.json").exists())
        .collect();
    found.sort();
    found
}

/// Runs one case; the error says what was missing.
fn run_case(case: &Path) -> Result<(), String> {
    let out = tempfile::tempdir().unwrap();
    let config = root().join("tests/workflows/anagama.toml");
    let finished = Anagama::workflow(&case.join("workflow.json"), &config, out.path()).run();
    let text = finished.text();
    let wanted = std::fs::read_to_string(case.join("error.txt")).map_err(|e| format!("error.txt: {e}"))?;
    let mut lines = wanted.lines();
    let exit = lines.next().and_then(|l| l.strip_prefix("exit ")).ok_or("error.txt must start with `exit N`")?;
    if finished.code().map(|c| c.to_string()).as_deref() != Some(exit) {
        return Err(format!("expected exit {exit}, found {:?}\n{text}", finished.code()));
    }
    if text.contains("panicked at") {
        return Err(format!("the program panicked\n{text}"));
    }
    // ComfyUI's error types are for programs: `check --json` prints them.
    let (types, texts): (Vec<&str>, Vec<&str>) = lines.partition(|l| l.starts_with("type "));
    if let Some(missing) = texts.iter().find(|l| !text.contains(**l)) {
        return Err(format!("`{missing}` is not in the output\n{text}"));
    }
    if types.is_empty() {
        return Ok(());
    }
    let workflow = case.join("workflow.json");
    let json = Anagama::new(["check", "--json", "--config", config.to_str().unwrap(), workflow.to_str().unwrap()]);
    let json = json.run().stdout();
    let named = |line: &str| json.contains(&format!("\"{}\"", line.trim_start_matches("type ")));
    match types.iter().find(|l| !named(l)) {
        Some(missing) => Err(format!("`{missing}` is not in the JSON\n{json}")),
        None => Ok(()),
    }
}

#[test]
fn broken_input_gets_a_message() {
    let cases = folders(&root().join("tests/workflows"));
    assert!(cases.len() >= 15, "only {} cases found", cases.len());
    let mut failed = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        match run_case(case) {
            Ok(()) => println!("{name}: ok"),
            Err(why) => failed.push(format!("--- {name}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{} of {} cases failed\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn every_example_is_valid() {
    let examples = folders(&root().join("examples"));
    assert!(examples.len() >= 3, "only {} examples found", examples.len());
    for example in examples {
        Anagama::new(["check".as_ref(), example.join("workflow.json").as_os_str()]).run().expect(0);
        assert!(example.join("README.md").exists(), "{} has no README.md", example.display());
    }
}

/// What a node is cut to, so that an example that trains takes seconds. That its settings make a good network is no
/// matter of this test.
const CUTS: &[(&str, &[&str])] = &[
    ("TrainingPlan", &["steps=2", "save_every=1"]),
    ("TrainLora", &["steps=2", "save_every=1"]),
    ("TrainDataOptions", &[r#"more="{\"resolutions\": [96, 64]}""#]),
    ("TrainValidationOptions", &["validation_every=1"]),
    ("TrainSampleOptions", &["sample_every=1", "sample_steps=2"]),
    ("CheckpointGrid", &["steps=2", "seeds=\"1\"", "strengths=\"1\"", "show=last"]),
];

#[test]
fn every_example_that_trains_runs_when_it_is_cut_short() {
    let config = root().join("examples/anagama.toml");
    let mut ran = 0;
    for example in folders(&root().join("examples")) {
        let workflow = example.join("workflow.json");
        let nodes: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&workflow).unwrap()).unwrap();
        let nodes = nodes.as_object().unwrap();
        let has = |class: &str| nodes.values().any(|n| n["class_type"] == class);
        // What fetches from a board has a test with a board of its own.
        if !has("TrainLora") || has("anagama.booru-source") {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let mut call = Anagama::workflow(&workflow, &config, dir.path());
        for (id, node) in nodes {
            let cuts = CUTS.iter().filter(|(class, _)| node["class_type"] == *class).flat_map(|(_, cuts)| *cuts);
            for cut in cuts {
                call.command().arg("--set").arg(format!("{id}.{cut}"));
            }
        }
        let finished = call.run();
        assert_eq!(finished.code(), Some(0), "{}\n{}", example.display(), finished.text());
        let out = dir.path().join("out");
        let loras = files_below(&out).into_iter().filter(|p| p.extension().is_some_and(|e| e == "safetensors")).count();
        assert!(loras > 0, "{} saved no network\n{}", example.display(), finished.text());
        ran += 1;
    }
    assert!(ran >= 3, "only {ran} examples trained");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    paths.flat_map(|p| if p.is_dir() { files_below(&p) } else { vec![p] }).collect()
}

/// Those that train take minutes, and have tests of their own.
#[test]
fn every_example_that_only_samples_makes_its_pictures() {
    let config = root().join("examples/anagama.toml");
    let mut ran = 0;
    for example in folders(&root().join("examples")) {
        let workflow = example.join("workflow.json");
        if std::fs::read_to_string(&workflow).unwrap().contains("\"TrainLora\"") {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let finished = Anagama::workflow(&workflow, &config, dir.path()).run();
        assert_eq!(finished.code(), Some(0), "{}\n{}", example.display(), finished.text());
        let pictures = std::fs::read_dir(dir.path().join("out")).unwrap().count();
        assert!(pictures > 0, "{} made no pictures\n{}", example.display(), finished.text());
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} examples ran");
}

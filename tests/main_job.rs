//! The main job on the embedded default, made short: cached, changed by one word, killed and resumed.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::{Anagama, root};

/// The training of `examples/train-lora` cut to a few steps, without grids and report.
struct Job {
    dir: tempfile::TempDir,
    steps: u32,
}

impl Job {
    fn new(steps: u32) -> Self {
        let job = Self { dir: tempfile::tempdir().unwrap(), steps };
        std::fs::write(job.workflow(), job.json().to_string()).unwrap();
        job
    }

    fn workflow(&self) -> PathBuf {
        self.dir.path().join("workflow.json")
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// The example's own nodes up to the training, and two that write.
    fn json(&self) -> Value {
        let text = std::fs::read_to_string(root().join("examples/train-lora/workflow.json")).unwrap();
        let whole: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
        let mut kept = BTreeMap::new();
        let mut open = vec!["train".to_owned()];
        while let Some(id) = open.pop() {
            let node = whole[&id].clone();
            for input in node["inputs"].as_object().unwrap().values() {
                if let Some(from) = input.as_array().and_then(|link| link[0].as_str()) {
                    open.push(from.to_owned());
                }
            }
            kept.insert(id, node);
        }
        kept.get_mut("source").unwrap()["inputs"]["folder"] =
            root().join("examples/datasets/ohwx-character").to_str().unwrap().into();
        let train = kept.get_mut("train").unwrap();
        train["inputs"]["steps"] = self.steps.into();
        train["inputs"]["save_every"] = (self.steps / 2).into();
        let tags = train["inputs"]["dataset"].clone();
        let mut json = serde_json::to_value(kept).unwrap();
        json["write"] = serde_json::json!({"class_type": "SaveDataset",
            "inputs": {"dataset": tags, "folder": "dataset", "kohya_folders": false}});
        json["report"] = serde_json::json!({"class_type": "HtmlReport", "inputs": {"checkpoints": ["train", 0]}});
        json
    }

    fn call(&self, more: &[&str]) -> Anagama {
        self.call_with(&root().join("examples/anagama.toml"), more)
    }

    fn call_with(&self, config: &Path, more: &[&str]) -> Anagama {
        let mut call = Anagama::workflow(&self.workflow(), config, self.dir.path());
        call.command().arg("--json").args(more);
        call
    }

    /// Ids of the nodes that ran.
    fn run(&self, more: &[&str]) -> Vec<String> {
        started(&self.call(more).run().expect(0).stdout())
    }

    /// Bytes of every file in the store that is a LoRA, by digest.
    fn loras(&self) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut open = vec![self.dir.path().join("store"), self.out()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if is_lora(&path) {
                    found.push(std::fs::read(&path).unwrap());
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    fn captions(&self) -> BTreeMap<String, String> {
        std::fs::read_dir(self.out().join("dataset"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|x| x == "txt"))
            .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&p).unwrap()))
            .collect()
    }
}

/// A safetensors file with LoRA keys and a training header.
fn is_lora(path: &Path) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false };
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(20_000)]).into_owned();
    start.contains("ss_network_module") && start.contains("modelspec")
}

fn started(events: &str) -> Vec<String> {
    let mut ids: Vec<String> = events
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter(|e| e["event"] == "node-started")
        .map(|e| e["node"]["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn what_has_not_changed_does_not_run_again_and_a_captioner_is_swapped_by_one_word() {
    let job = Job::new(4);
    let all = job.run(&[]);
    assert!(all.contains(&"train".to_owned()) && all.contains(&"caption".to_owned()), "{all:?}");
    let captions = job.captions();
    assert_eq!(captions.len(), 24);
    assert!(captions.values().all(|c| c.starts_with("ohwx, ")), "{captions:?}");

    assert_eq!(job.run(&[]), Vec::<String>::new(), "an unchanged workflow ran nodes again");

    std::fs::remove_dir_all(job.out()).unwrap();
    job.run(&[]);
    assert_eq!(job.captions(), captions, "files that were deleted come back");

    let swapped = job.run(&["--set", "caption.class_type=anagama.palette-tagger"]);
    assert!(swapped.contains(&"caption".to_owned()) && swapped.contains(&"train".to_owned()), "{swapped:?}");
    // The base is loaded again, since networks live in memory only.
    assert!(!swapped.contains(&"source".to_owned()), "the import ran again: {swapped:?}");
    assert_ne!(job.captions(), captions);
}

#[test]
fn a_training_that_was_killed_goes_on_and_ends_in_the_same_bytes() {
    let whole = Job::new(60);
    whole.run(&[]);
    let expected = whole.loras();
    assert_eq!(expected.len(), 2, "two checkpoints");

    let killed = Job::new(60);
    let mut child = killed
        .call(&[])
        .command()
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = 0;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let give_up = Instant::now() + Duration::from_secs(300);
    for line in &mut lines {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert!(Instant::now() < give_up, "the training did not get anywhere");
        if event["event"] == "progress" && event["node"]["id"] == "train" {
            seen = event["done"].as_u64().unwrap();
            if seen >= 40 {
                break;
            }
        }
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!((40..60).contains(&seen), "killed at step {seen}");

    let again = killed.call(&[]).run().expect(0).stdout();
    let first = again
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .find(|e| e["event"] == "progress" && e["node"]["id"] == "train" && e["done"] != 0)
        .unwrap();
    assert!(first["done"].as_u64().unwrap() > 20, "it started over: {first}");
    assert_eq!(killed.loras(), expected, "the resumed LoRA differs");
}

#[test]
fn a_training_pauses_and_ends_early_when_it_is_told_to() {
    let job = Job::new(4000);
    let config = root().join("examples/anagama.toml");
    let store = job.dir.path().join("store");
    let tell = |order: &str| {
        let mut call = Anagama::new(["train", order, "ohwx"]);
        call.command().arg("--config").arg(&config).arg("--store").arg(&store);
        call.run()
    };
    assert_ne!(tell("pause").code(), Some(0), "there is no training yet");
    let mut call = job.call(&[]);
    let command = call.command().stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let give_up = Instant::now() + Duration::from_secs(300);
    let mut until = |what: &dyn Fn(&Value) -> bool| {
        for line in &mut lines {
            assert!(Instant::now() < give_up, "the training did not get anywhere");
            if what(&serde_json::from_str(&line.unwrap()).unwrap()) {
                return;
            }
        }
        panic!("the program ended");
    };
    until(&|e| e["event"] == "progress" && e["node"]["id"] == "train" && e["done"].as_u64().unwrap() >= 3);
    tell("pause").expect(0);
    until(&|e| e["event"] == "log" && e["message"].as_str().unwrap().starts_with("paused after step"));
    let listed = Anagama::new(["train", "list", "--json", "--store", store.to_str().unwrap()]).run().expect(0).stdout();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert!(listed[0]["running"] == true && listed[0]["order"] == "pause", "{listed}");
    tell("finish").expect(0);
    until(&|e| e["event"] == "run-finished" && e["ok"] == true);
    assert!(child.wait().unwrap().success());
    assert_eq!(job.loras().len(), 1, "one checkpoint, of the step that it ended at");
    assert_ne!(tell("resume").code(), Some(0), "the training is over");
}

#[test]
fn native_plugins_caption_byte_for_byte_like_components() {
    let plugins = tests::root().join("target/plugins");
    let missing = ["wd-tagger", "tag-edit", "folder-source"].iter().find(|p| {
        let dir = plugins.join(p);
        !std::fs::read_dir(&dir).is_ok_and(|mut d| d.any(|e| e.unwrap().path().extension().is_some_and(|x| x == "so")))
    });
    if let Some(name) = missing {
        return tests::skip("native_plugins", &format!("{name} has no native library for this machine"));
    }
    let job = Job::new(2);
    // Approvals are written to a lock file of this test's own.
    let config = job.dir.path().join("anagama.toml");
    let text = format!(
        "models = [{:?}]\nplugins = [{:?}]\nlock = \"plugins.lock.json\"\n",
        root().join("examples/models"),
        plugins
    );
    std::fs::write(&config, text).unwrap();
    let wasm = {
        job.run(&[]);
        job.captions()
    };
    for name in ["wd-tagger", "tag-edit", "folder-source"] {
        let dir = plugins.join(name);
        Anagama::new(["plugins", "approve", dir.to_str().unwrap(), "--yes", "--config", config.to_str().unwrap()])
            .run()
            .expect(0);
    }
    let native = Job::new(2);
    let finished = native.call_with(&config, &["--prefer-native"]).run().expect(0);
    assert!(started(&finished.stdout()).contains(&"caption".to_owned()));
    assert_eq!(native.captions(), wasm);
}

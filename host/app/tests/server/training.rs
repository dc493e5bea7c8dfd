//! A training as a job: shown step by step, killed, resumed.

use crate::support::{Server, Socket, example_models};
use serde_json::{Value, json};
use std::path::Path;

const STEPS: u64 = 24;
/// The node that trains.
const TRAINS: &str = "train";

/// Six pictures of the example, a state every four steps, a sample before the first step and every eight.
fn prompt(pictures: &Path) -> Value {
    json!({
        "base": {"class_type": "DiffusersLoader", "inputs": {"model_path": "embedded-base"}},
        "set": {"class_type": "KohyaFolders", "inputs": {"folder": pictures}},
        "samples": {"class_type": "TrainSampleOptions", "inputs": {
            "sample_prompts": "ohwx, ink style --w 64 --h 64 --s 2 --d 1", "sample_every": 8, "sample_at_first": true,
        }},
        "saving": {"class_type": "TrainSaveOptions", "inputs": {"state_every": 4, "options": ["samples", 0]}},
        TRAINS: {"class_type": "TrainLora", "inputs": {
            "model": ["base", 0], "clip": ["base", 1], "vae": ["base", 2], "dataset": ["set", 0], "options": ["saving", 0],
            "name": "ohwx", "rank": 4, "steps": STEPS, "batch_size": 1, "learning_rate": 0.002, "seed": 42,
        }},
        "files": {"class_type": "SaveCheckpoints", "inputs": {"checkpoints": [TRAINS, 0], "folder": "loras"}},
    })
}

fn pictures(folder: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/datasets/ohwx-character");
    let to = folder.join("1_ohwx");
    std::fs::create_dir_all(&to).unwrap();
    for name in (1..=6).flat_map(|n| [format!("{n:03}.png"), format!("{n:03}.txt")]) {
        std::fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

/// What was told of the training's steps.
#[derive(Default)]
struct Told {
    /// By `progress` messages; step 0 is what comes before the first.
    steps: Vec<u64>,
    /// Text frames about the loss.
    losses: Vec<String>,
    previews: usize,
    ended: bool,
}

impl Told {
    /// Reads until the job ends, or a step is over.
    fn read(socket: &mut Socket, until: u64) -> Self {
        let mut told = Self::default();
        while told.steps.last().is_none_or(|&step| step < until) || until == STEPS {
            let message = socket.next();
            told.take(&message);
            if told.ended {
                break;
            }
        }
        told
    }

    fn take(&mut self, message: &Value) {
        let data = &message["data"];
        match message["type"].as_str().unwrap() {
            "progress" if data["node"] == TRAINS && data["max"] == STEPS => {
                let step = data["value"].as_u64().unwrap();
                // Told again while pictures are made.
                if step > 0 && self.steps.last() != Some(&step) {
                    self.steps.push(step);
                }
            }
            "binary" => self.frame(&serde_json::from_value::<Vec<u8>>(message["bytes"].clone()).unwrap()),
            "execution_error" => panic!("{message}"),
            "executing" => self.ended = data["node"].is_null(),
            _ => {}
        }
    }

    fn frame(&mut self, bytes: &[u8]) {
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let body = &bytes[8..];
        match number(0) {
            // Kind 1: the client did not ask for metadata.
            1 => {
                assert!(body.starts_with(b"\xFF\xD8\xFF") || body.starts_with(b"\x89PNG"), "a preview is no picture");
                self.previews += 1;
            }
            3 => {
                let (node, text) = body.split_at(number(4) as usize);
                let text = String::from_utf8(text.to_vec()).unwrap();
                if node == TRAINS.as_bytes() && text.starts_with("loss ") {
                    self.losses.push(text);
                }
            }
            kind => panic!("a frame of kind {kind}"),
        }
    }
}

fn file(server: &Server) -> Vec<u8> {
    std::fs::read(server.base.join("output/loras/ohwx.safetensors")).unwrap()
}

#[test]
fn a_training_is_shown_step_by_step_and_outlives_a_kill() {
    let (models, set) = (example_models(), tempfile::tempdir().unwrap());
    pictures(set.path());
    let args = ["--extra-model-paths-config", models.path().to_str().unwrap()];
    let job = json!({"prompt": prompt(set.path()), "client_id": "me"});

    let whole = Server::start(&args);
    let mut socket = whole.ws("me");
    let id = whole.prompt(&job);
    let told = Told::read(&mut socket, STEPS);
    assert_eq!(told.steps, (1..=STEPS).collect::<Vec<_>>());
    assert_eq!(told.losses.len() as u64, STEPS, "{:?}", told.losses);
    assert_eq!(told.previews, 4, "pictures before the first step and after 8, 16 and 24");
    assert_eq!(whole.finished(&id)["status"]["status_str"], "success");
    let expected = file(&whole);

    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &args);
    let mut socket = server.ws("me");
    let id = server.prompt(&job);
    let told = Told::read(&mut socket, 10);
    let seen = *told.steps.last().unwrap();
    assert!(!told.ended && (10..STEPS).contains(&seen), "it was over before it could be killed");
    // The queue stays paused, so that everything after the restart is heard.
    assert_eq!(server.post("/anagama/pause", &json!(null)).status, 200);
    server.kill();
    assert!(!dir.path().join("output/loras/ohwx.safetensors").exists());

    let server = Server::start_in(dir.path(), &args);
    let queue = server.get("/queue").json();
    assert_eq!(queue["queue_pending"][0][1], json!(id), "{queue}");
    let mut socket = server.ws("me");
    assert_eq!(server.post("/anagama/resume", &json!(null)).status, 200);
    let told = Told::read(&mut socket, STEPS);
    let first = told.steps[0];
    assert!(first > 8, "it started over at step {first}");
    assert_eq!(told.steps, (first..=STEPS).collect::<Vec<_>>());
    // The pictures that were made before the kill are not made again.
    assert!((1..=2).contains(&told.previews), "{} previews", told.previews);
    assert_eq!(server.finished(&id)["status"]["status_str"], "success");
    assert!(file(&server) == expected, "the file of the resumed training differs");
    assert_eq!(server.get("/queue").json(), json!({"queue_running": [], "queue_pending": []}));
}

//! What is told over the WebSocket, and in which order.

use crate::support::{Server, example_models, trivial};
use serde_json::{Value, json};

fn kinds(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|m| m["type"].as_str().unwrap()).collect()
}

#[test]
fn a_run_is_told_in_comfyui_s_order() {
    let server = Server::start(&[]);
    let mut socket = server.ws("me");
    let first = socket.next();
    assert_eq!(first["data"], json!({"status": {"exec_info": {"queue_remaining": 0}}, "sid": "me"}));
    socket.send(&json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}}));
    assert_eq!(socket.next()["type"], "feature_flags");
    let id = server.prompt(&json!({"prompt": trivial(7), "client_id": "me"}));
    let messages = socket.until_end();
    let told: Vec<&str> = kinds(&messages).into_iter().filter(|k| *k != "progress_state").collect();
    let expected = [
        "status",
        "status",
        "execution_start",
        "execution_cached",
        "executing",
        "executing",
        "executing",
        "executed",
        "execution_success",
        "status",
        "executing",
    ];
    assert_eq!(told, expected);
    let data = |kind: &str| messages.iter().filter(|m| m["type"] == kind).map(|m| &m["data"]).collect::<Vec<_>>();
    let left: Vec<u64> =
        data("status").iter().map(|d| d["status"]["exec_info"]["queue_remaining"].as_u64().unwrap()).collect();
    assert_eq!(left, [1, 1, 0]);
    let nodes: Vec<&Value> = data("executing").iter().map(|d| &d["node"]).collect();
    assert_eq!(nodes, [&json!("1"), &json!("2"), &json!("3"), &json!(null)]);
    assert!(data("executing").iter().all(|d| d["prompt_id"] == json!(id)));
    let executed = data("executed")[0];
    assert_eq!((&executed["node"], &executed["display_node"]), (&json!("3"), &json!("3")));
    assert_eq!(executed["output"]["images"][0]["type"], "temp");
    let states = data("progress_state");
    let last = &states.last().unwrap()["nodes"];
    for node in ["1", "2", "3"] {
        assert_eq!(last[node]["state"], "finished", "{last}");
    }
    // The same again comes from the cache, with its picture.
    server.prompt(&json!({"prompt": trivial(7), "client_id": "me"}));
    let messages = socket.until_end();
    assert_eq!(messages.iter().filter(|m| m["type"] == "executed").count(), 1, "{messages:?}");
    let cached = messages.iter().find(|m| m["type"] == "execution_cached").unwrap();
    assert!(cached["data"]["nodes"].as_array().unwrap().contains(&json!("3")), "{cached}");
}

#[test]
fn only_the_sender_hears_of_a_run_but_all_hear_of_the_queue() {
    let server = Server::start(&[]);
    let (mut mine, mut other) = (server.ws("mine"), server.ws("other"));
    assert_eq!((mine.next()["type"].clone(), other.next()["type"].clone()), (json!("status"), json!("status")));
    server.prompt(&json!({"prompt": trivial(3), "client_id": "mine"}));
    mine.until_end();
    let heard: Vec<Value> = (0..3).map(|_| other.next()).collect();
    assert_eq!(kinds(&heard), ["status", "status", "status"]);
}

#[test]
fn a_failure_is_told_as_an_error() {
    let server = Server::start(&[]);
    let mut socket = server.ws("me");
    socket.next();
    let mut prompt = trivial(3);
    prompt["1"] = json!({"class_type": "LoadImage", "inputs": {"image": "broken.png"}});
    std::fs::write(server.base.join("input/broken.png"), "no picture").unwrap();
    let id = server.prompt(&json!({"prompt": prompt, "client_id": "me"}));
    let messages = socket.until_end();
    let error = &messages.iter().find(|m| m["type"] == "execution_error").unwrap()["data"];
    assert_eq!((&error["node_id"], &error["node_type"]), (&json!("1"), &json!("LoadImage")));
    assert!(error["exception_message"].as_str().is_some_and(|m| !m.is_empty()) && error["traceback"].is_array());
    assert!(!kinds(&messages).contains(&"execution_success"));
    let entry = server.finished(&id);
    assert_eq!((&entry["status"]["status_str"], &entry["status"]["completed"]), (&json!("error"), &json!(false)));
    let job = server.get(&format!("/api/jobs/{id}")).json();
    assert_eq!((&job["status"], &job["execution_error"]["node_id"]), (&json!("failed"), &json!("1")));
}

/// Pictures of the work so far (frames of kinds 1 and 4) that a job of four steps sends.
fn previews(server: &Server, seed: u64, method: Option<&str>) -> usize {
    let mut socket = server.ws("me");
    let prompt = json!({
        "1": {"class_type": "DiffusersLoader", "inputs": {"model_path": "embedded-base"}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "glasses"}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {"class_type": "KSampler", "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0], "seed": seed, "steps": 4,
            "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        }},
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}},
    });
    let extra = method.map_or_else(|| json!({}), |method| json!({"preview_method": method}));
    let id = server.prompt(&json!({"prompt": prompt, "client_id": "me", "extra_data": extra}));
    let told = socket.until_end();
    assert_eq!(server.finished(&id)["status"]["status_str"], "success");
    told.iter().filter(|m| m["type"] == "binary" && [1, 4].contains(&m["bytes"][3].as_u64().unwrap())).count()
}

#[test]
fn each_job_chooses_its_previews() {
    let file = example_models();
    let paths = ["--extra-model-paths-config", file.path().to_str().unwrap()];
    let server = Server::start(&paths);
    assert!(previews(&server, 1, None) > 0);
    assert_eq!(previews(&server, 2, Some("none")), 0);
    assert!(previews(&server, 3, Some("latent2rgb")) > 0);
    let quiet = Server::start(&[paths[0], paths[1], "--preview-method", "none"]);
    assert_eq!(previews(&quiet, 4, Some("default")), 0);
    assert!(previews(&quiet, 5, Some("auto")) > 0);
}

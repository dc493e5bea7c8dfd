//! Prompts, the queue, the history and the jobs.

use crate::support::{Server, saved, trivial};
use serde_json::{Value, json};

#[test]
fn a_prompt_runs_and_its_picture_can_be_seen() {
    let server = Server::start(&[]);
    let workflow = json!({"extra_pnginfo": {"workflow": {"id": "w-1", "nodes": [], "name": "grüß"}}});
    let id = server.prompt(&json!({"prompt": saved(0xff_0000, "s/a"), "client_id": "c", "extra_data": workflow}));
    let entry = server.finished(&id);
    assert_eq!(entry["status"]["status_str"], "success", "{entry}");
    assert_eq!(entry["prompt"][1], json!(id));
    assert_eq!(entry["prompt"][4], json!(["3"]));
    let image = &entry["outputs"]["3"]["images"][0];
    assert_eq!(image, &json!({"filename": "a_00001_.png", "subfolder": "s", "type": "output"}));
    assert_eq!(entry["meta"]["3"]["display_node"], "3");
    let view = server.get("/api/view?filename=a_00001_.png&subfolder=s&type=output");
    assert_eq!((view.status, view.header("content-type")), (200, Some("image/png")));
    let text = String::from_utf8_lossy(&view.body).into_owned();
    assert!(text.contains("prompt") && text.contains("\"class_type\"") && text.contains("grüß"));
    let part = server.send("GET", "/view?filename=a_00001_.png&subfolder=s", &[("range", "bytes=1-3")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"PNG"[..]));
    let small = server.get("/view?filename=a_00001_.png&subfolder=s&preview=webp;75");
    assert_eq!(small.header("content-type"), Some("image/webp"));
    let jobs = server.get("/api/jobs?status=completed").json();
    assert_eq!(jobs["jobs"][0]["preview_output"]["filename"], "a_00001_.png");
    assert_eq!(jobs["jobs"][0]["workflow_id"], "w-1");
    let job = server.get(&format!("/api/jobs/{id}")).json();
    assert_eq!(job["status"], "completed");
    assert_eq!(job["workflow"]["prompt"]["1"]["class_type"], "EmptyImage");
}

#[test]
fn errors_are_comfyui_s() {
    let server = Server::start(&[]);
    let refused = |body: Value| {
        let answer = server.post("/prompt", &body);
        assert_eq!(answer.status, 400, "{body} {}", answer.text());
        let answer = answer.json();
        assert!(answer["error"]["message"].is_string() && answer["node_errors"].is_object(), "{answer}");
        answer
    };
    assert_eq!(refused(json!({}))["error"]["type"], "no_prompt");
    assert_eq!(refused(json!({"prompt": {}}))["error"]["type"], "prompt_no_outputs");
    let unknown = refused(json!({"prompt": {"1": {"class_type": "Nope", "inputs": {}}}}));
    assert_eq!(unknown["error"]["type"], "missing_node_type");
    assert_eq!(unknown["error"]["extra_info"]["class_type"], "Nope");
    let mut bad = trivial(1);
    bad["1"]["inputs"]["width"] = json!(0);
    let small = refused(json!({"prompt": bad}));
    assert_eq!(small["error"]["type"], "prompt_outputs_failed_validation");
    assert_eq!(small["node_errors"]["1"]["errors"][0]["type"], "value_smaller_than_min");
    assert_eq!(small["node_errors"]["1"]["dependent_outputs"], json!(["3"]));
    for name in ["absent.png", "../log", "/etc/passwd", "absent.png [output]"] {
        let mut prompt = trivial(1);
        prompt["1"] = json!({"class_type": "LoadImage", "inputs": {"image": name}});
        let picture = refused(json!({"prompt": prompt}));
        assert_eq!(picture["node_errors"]["1"]["errors"][0]["type"], "custom_validation_failed");
        assert_eq!(picture["node_errors"]["1"]["dependent_outputs"], json!(["3"]));
    }
    let mut half = trivial(1);
    half["4"] = json!({"class_type": "LoadImage", "inputs": {"image": "absent.png"}});
    half["5"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}});
    let half = server.post("/prompt", &json!({"prompt": half}));
    assert_eq!((half.status, &half.json()["node_errors"]["4"]["dependent_outputs"]), (200, &json!(["5"])));
    let entry = server.finished(half.json()["prompt_id"].as_str().unwrap());
    assert_eq!((&entry["prompt"][4], &entry["status"]["status_str"]), (&json!(["3"]), &json!("success")));
    let id = refused(json!({"prompt": trivial(1), "prompt_id": "ABC"}));
    assert_eq!(id["error"]["type"], "invalid_prompt_id");
    assert_eq!(server.send("POST", "/prompt", &[], b"{nonsense").status, 400);
    assert_eq!(server.get("/queue").json()["queue_pending"], json!([]));
}

#[test]
fn the_queue_waits_while_it_is_paused_and_keeps_its_order() {
    let server = Server::start(&[]);
    assert_eq!(server.post("/anagama/pause", &json!(null)).json()["paused"], true);
    let mut ids = Vec::new();
    for color in 0..4 {
        ids.push(server.prompt(&json!({"prompt": trivial(color)})));
    }
    let front = server.prompt(&json!({"prompt": trivial(9), "front": true}));
    let big = server.post("/prompt", &json!({"prompt": trivial(10), "number": 2.5})).json();
    assert_eq!(big["number"], 2.5);
    let pending = server.get("/queue").json()["queue_pending"].clone();
    let order: Vec<&str> = pending.as_array().unwrap().iter().map(|j| j[1].as_str().unwrap()).collect();
    assert_eq!(order, [&*front, &*ids[0], &*ids[1], &*ids[2], big["prompt_id"].as_str().unwrap(), &*ids[3]]);
    assert_eq!(pending[0][0], json!(-4));
    server.post("/queue", &json!({"delete": [ids[1]]}));
    assert_eq!(server.post(&format!("/api/jobs/{}/cancel", ids[2]), &json!(null)).json()["cancelled"], true);
    assert_eq!(server.post(&format!("/api/jobs/{}/cancel", ids[2]), &json!(null)).status, 404);
    assert_eq!(server.get("/prompt").json()["exec_info"]["queue_remaining"], 4);
    let bad = server.post("/api/jobs/cancel", &json!({"job_ids": ["x"]}));
    assert_eq!((bad.status, &bad.json()["invalid_ids"]), (400, &json!(["x"])));
    server.post("/anagama/resume", &json!(null));
    server.finished(&ids[3]);
    let history = server.get("/history").json();
    let done: Vec<&String> = history.as_object().unwrap().keys().collect();
    assert_eq!(done, [&front, &ids[0], &big["prompt_id"].as_str().unwrap().to_owned(), &ids[3]]);
    assert_eq!(server.get("/history?max_items=1").json().as_object().unwrap().len(), 1);
    let page = server.get("/api/jobs?limit=3&offset=2&sort_order=asc").json();
    assert_eq!(page["pagination"], json!({"offset": 2, "limit": 3, "total": 4, "has_more": false}));
    for bad in ["status=odd", "limit=x", "limit=0", "sort_by=name", "sort_order=up", "offset=-1"] {
        assert_eq!(server.get(&format!("/api/jobs?{bad}")).status, 400, "{bad}");
    }
    server.post("/history", &json!({"delete": [front]}));
    assert_eq!(server.get("/history").json().as_object().unwrap().len(), 3);
    server.post("/history", &json!({"clear": true}));
    assert_eq!(server.get("/history").json(), json!({}));
}

#[test]
fn seeds_keep_all_their_digits() {
    let server = Server::start(&[]);
    server.post("/anagama/pause", &json!(null));
    let mut prompt = trivial(1);
    prompt["1"]["inputs"]["extra_seed"] = json!(u64::MAX);
    server.prompt(&json!({"prompt": prompt}));
    assert!(server.get("/queue").text().contains("18446744073709551615"));
}

#[test]
fn results_leave_the_memory_when_it_runs_short() {
    // So many GB can never be free; of so few there are always more.
    for (headroom, expected) in [("1000000000", 0), ("0.000001", 3)] {
        let server = Server::start(&["--cache-ram", headroom]);
        let mut socket = server.ws("me");
        for cached in [0, expected] {
            server.prompt(&json!({"prompt": trivial(5), "client_id": "me"}));
            let told = socket.until_end();
            let nodes = &told.iter().find(|m| m["type"] == "execution_cached").unwrap()["data"]["nodes"];
            assert_eq!(nodes.as_array().unwrap().len(), cached, "{headroom}: {nodes}");
        }
    }
}

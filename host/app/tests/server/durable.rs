//! What outlives the process.

use crate::support::{Server, saved, trivial};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn queue_history_and_pause_outlive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_in(dir.path(), &[]);
    let done = server.prompt(&json!({"prompt": saved(1, "kept")}));
    server.finished(&done);
    server.post("/anagama/pause", &json!(null));
    let ids: Vec<String> =
        (0..5).map(|color| server.prompt(&json!({"prompt": trivial(color), "client_id": "c"}))).collect();
    let queue = server.get("/queue").text();
    server.kill();
    let server = Server::start_in(dir.path(), &[]);
    assert_eq!(server.get("/queue").text(), queue);
    assert_eq!(server.get("/anagama/state").json()["paused"], true);
    assert_eq!(server.get(&format!("/history/{done}")).json()[&done]["status"]["completed"], true);
    assert_eq!(server.get("/view?filename=kept_00001_.png").status, 200);
    server.post("/anagama/resume", &json!(null));
    for id in &ids {
        assert_eq!(server.finished(id)["status"]["status_str"], "success");
    }
    assert_eq!(server.terminate(), Some(0));
    let server = Server::start_in(dir.path(), &[]);
    assert_eq!(server.get("/history").json().as_object().unwrap().len(), 6);
    // Shown pictures outlive the process too, as the history still names them.
    let shown = server.get(&format!("/history/{}", ids[0])).json()[&ids[0]]["outputs"]["3"]["images"][0].clone();
    let name = shown["filename"].as_str().unwrap();
    assert_eq!(server.get(&format!("/view?filename={name}&type=temp")).status, 200);
}

#[test]
fn a_job_that_was_asked_for_twice_runs_once() {
    let server = Server::start(&[]);
    server.post("/anagama/pause", &json!(null));
    let body = json!({"prompt": trivial(1), "prompt_id": "6f9619ff-8b86-4011-b42d-00c04fc964ff"});
    let (first, second) = (server.post("/prompt", &body).json(), server.post("/prompt", &body).json());
    assert_eq!(first, second);
    assert_eq!(server.get("/queue").json()["queue_pending"].as_array().unwrap().len(), 1);
}

/// Fifty jobs that save pictures, and twenty kills at moments that differ.
#[test]
fn nothing_is_lost_and_nothing_runs_twice_to_another_result() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start_in(dir.path(), &[]);
    let ids: Vec<String> =
        (0..50).map(|n| server.prompt(&json!({"prompt": saved(n * 4099, &format!("job{n:02}"))}))).collect();
    for kill in 0..20_u64 {
        std::thread::sleep(Duration::from_millis(kill * 37 % 53));
        server.kill();
        server = Server::start_in(dir.path(), &[]);
    }
    for (n, id) in ids.iter().enumerate() {
        let entry = server.finished(id);
        assert_eq!(entry["status"]["status_str"], "success", "{entry}");
        let name = entry["outputs"]["3"]["images"][0]["filename"].as_str().unwrap().to_owned();
        assert!(name.starts_with(&format!("job{n:02}_")), "{name}");
        assert_eq!(server.get(&format!("/view?filename={name}")).status, 200, "{name}");
    }
    assert_eq!(server.get("/history").json().as_object().unwrap().len(), 50);
    // A job that a kill caught between its picture and its record runs again and takes the result from the store.
    let mut pictures: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for entry in std::fs::read_dir(dir.path().join("output")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".png") {
            pictures.entry(name[..5].to_owned()).or_default().push(std::fs::read(entry.path()).unwrap());
        }
    }
    assert_eq!(pictures.len(), 50);
    for (job, same) in pictures {
        assert!(same.windows(2).all(|w| w[0] == w[1]), "{job} came out differently");
    }
}

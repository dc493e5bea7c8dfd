//! What front ends and clients ask first.

use crate::support::Server;
use serde_json::json;

#[test]
fn a_front_end_finds_what_it_needs_to_boot() {
    let server = Server::start(&[]);
    for prefix in ["", "/api"] {
        let get = |path: &str| {
            let answer = server.get(&format!("{prefix}{path}"));
            assert_eq!(answer.status, 200, "{prefix}{path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            answer.json()
        };
        assert_eq!(get("/users"), json!({"storage": "server", "migrated": true}));
        assert_eq!(get("/features")["supports_preview_metadata"], true);
        assert_eq!(get("/settings"), json!({}));
        assert_eq!(get("/settings/absent"), json!(null));
        assert_eq!(get("/extensions"), json!([]));
        assert_eq!(get("/i18n"), json!({}));
        assert_eq!(get("/workflow_templates"), json!({}));
        assert_eq!(get("/embeddings"), json!([]));
        assert_eq!(get("/global_subgraphs"), json!({}));
        assert_eq!(get("/node_replacements"), json!({}));
        assert_eq!(get("/queue"), json!({"queue_running": [], "queue_pending": []}));
        assert_eq!(get("/prompt"), json!({"exec_info": {"queue_remaining": 0}}));
        assert_eq!(get("/history"), json!({}));
        let stats = get("/system_stats");
        assert!(stats["system"]["ram_total"].as_u64().unwrap() > 0);
        assert_eq!(stats["devices"][0]["index"], 0);
        assert!(get("/models").as_array().unwrap().contains(&json!("checkpoints")));
        assert_eq!(get("/models/loras"), json!([]));
    }
    assert_eq!(server.get("/api/jobs").json()["pagination"]["total"], 0);
    assert_eq!(server.get("/userdata?dir=workflows").json(), json!([]));
    assert_eq!(server.get("/userdata/user.css").header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(server.get("/userdata/comfy.templates.json").status, 404);
    assert_eq!(server.get("/nothing/here").status, 404);
    assert_eq!(server.send("DELETE", "/queue", &[], b"").status, 405);
}

#[test]
fn nodes_are_described() {
    let server = Server::start(&[]);
    let all = server.get("/object_info").json();
    let nodes = all.as_object().unwrap();
    assert!(nodes.len() > 80, "{}", nodes.len());
    for (name, node) in nodes {
        assert!(node["input"]["required"].is_object() && node["input_order"]["required"].is_array(), "{name}");
        let outputs = node["output"].as_array().unwrap().len();
        for list in ["output_is_list", "output_name", "output_tooltips"] {
            assert_eq!(node[list].as_array().unwrap().len(), outputs, "{name}.{list}");
        }
        for (input, described) in node["input"]["required"].as_object().unwrap() {
            let pair = described.as_array().unwrap();
            assert!(
                pair.len() == 2 && (pair[0].is_string() || pair[0].is_array()) && pair[1].is_object(),
                "{name}.{input}"
            );
        }
    }
    let sampler = &nodes["KSampler"];
    assert_eq!(sampler["input"]["required"]["seed"][1]["max"], json!(u64::MAX));
    let order: Vec<&str> =
        sampler["input_order"]["required"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    let expected = [
        "model",
        "seed",
        "steps",
        "cfg",
        "sampler_name",
        "scheduler",
        "positive",
        "negative",
        "latent_image",
        "denoise",
    ];
    assert_eq!(order, expected);
    assert_eq!(server.get("/object_info/KSampler").json()["KSampler"], *sampler);
    assert_eq!(server.get("/object_info/NoSuchNode").json(), json!({}));
}

#[test]
fn our_own_page_and_the_metrics_are_there() {
    let server = Server::start(&["--no-front-end"]);
    for path in ["/", "/anagama"] {
        let page = server.get(path);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.text().contains("<title>Anagama</title>"));
        assert!(page.header("content-security-policy").is_some());
    }
    assert_eq!(server.get("/anagama/state").json()["paused"], false);
    assert!(server.get("/anagama/plugins").json().is_array());
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("anagama_queue_jobs{state=\"pending\"} 0"), "{metrics}");
}

#[test]
fn a_front_end_is_served_as_it_lies() {
    let pages = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(pages.path().join("assets")).unwrap();
    std::fs::create_dir_all(pages.path().join("extensions/core")).unwrap();
    for (name, text) in
        [("index.html", "<p>front"), ("assets/a.js", "1"), ("extensions/core/x.js", "2"), ("user.css", "")]
    {
        std::fs::write(pages.path().join(name), text).unwrap();
    }
    let server = Server::start(&["--front-end", pages.path().to_str().unwrap()]);
    let index = server.get("/");
    assert_eq!((index.text().as_str(), index.header("cache-control")), ("<p>front", Some("no-store")));
    let script = server.get("/assets/a.js");
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    let tag = script.header("etag").unwrap().to_owned();
    assert_eq!(server.send("GET", "/assets/a.js", &[("if-none-match", &tag)], b"").status, 304);
    let head = server.send("HEAD", "/assets/a.js", &[], b"");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("1"), 0));
    assert_eq!(server.get("/extensions").json(), json!(["/extensions/core/x.js"]));
    assert_eq!(server.get("/assets/../../log").status, 403);
    assert_eq!(server.get("/assets/%2e%2e/%2e%2e/log").status, 403);
    assert!(server.get("/anagama").text().contains("Anagama"));
}

//! Bodies of `POST /prompt`: real ones that were changed, and graphs put together from the descriptions of nodes.

use super::json::{change, odd};
use super::shake;
use crate::limits::Random;
use crate::support::{Server, saved, trivial};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What a refusal may be called, and what may be wrong with a node: those that docs/server.md lists.
const REFUSALS: [&str; 7] = [
    "no_prompt",
    "invalid_prompt_id",
    "invalid_prompt",
    "missing_node_type",
    "prompt_no_outputs",
    "dependency_cycle",
    "prompt_outputs_failed_validation",
];
const NODE_ERRORS: [&str; 12] = [
    "required_input_missing",
    "bad_linked_input",
    "return_type_mismatch",
    "invalid_input_type",
    "value_smaller_than_min",
    "value_bigger_than_max",
    "value_not_in_list",
    "custom_validation_failed",
    "dependency_cycle",
    "unknown_input",
    "exception_during_validation",
    "exception_during_inner_validation",
];

/// What cases are made from.
pub(super) struct Corpus {
    bodies: Vec<Value>,
    /// As `/object_info` describes them.
    nodes: Vec<(String, Value)>,
}

impl Corpus {
    pub(super) fn new(server: &Server) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut bodies = vec![json!({"prompt": trivial(7)}), json!({"prompt": saved(7, "a/%width%")}), editors()];
        let mut files = Vec::new();
        for folder in ["examples", "tests/workflows"] {
            let folders = std::fs::read_dir(root.join(folder)).unwrap();
            files.extend(folders.map(|e| e.unwrap().path().join("workflow.json")).filter(|f| f.is_file()));
        }
        files.sort();
        assert!(files.len() > 20, "{files:?}");
        for (number, file) in files.iter().enumerate() {
            let prompt: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            bodies.push(json!({
                "prompt": prompt, "client_id": "fuzz", "number": number, "front": number % 2 == 0,
                "prompt_id": format!("6f9619ff-8b86-4011-b42d-00c04fc9{number:04x}"),
                "partial_execution_targets": ["3", "9"],
                "extra_data": {"preview_method": "auto", "extra_pnginfo": {"workflow": {"id": "w", "nodes": []}}},
            }));
        }
        let nodes = server.get("/object_info").json();
        Self { bodies, nodes: nodes.as_object().unwrap().clone().into_iter().collect() }
    }

    pub(super) fn body<'a>(&'a self, random: &mut Random) -> &'a Value {
        &self.bodies[random.next(self.bodies.len())]
    }

    /// One body, as it is sent.
    pub(super) fn make(&self, random: &mut Random) -> Vec<u8> {
        let mut body =
            if random.next(3) == 0 { json!({"prompt": self.graph(random)}) } else { self.body(random).clone() };
        for _ in 0..random.next(6) {
            let other = self.body(random);
            change(random, &mut body, other);
        }
        let mut bytes = body.to_string().into_bytes();
        if random.next(10) == 0 {
            shake(random, &mut bytes);
        }
        bytes
    }

    /// A few nodes with their own inputs, linked at random.
    fn graph(&self, random: &mut Random) -> Value {
        let (count, mut graph) = (1 + random.next(10), Map::new());
        for id in 1..=count {
            let (class, described) = &self.nodes[random.next(self.nodes.len())];
            let mut inputs = Map::new();
            for kind in ["required", "optional"] {
                for (name, input) in described["input"][kind].as_object().into_iter().flatten() {
                    if kind == "required" || random.next(2) == 0 {
                        inputs.insert(name.clone(), fill(random, input, count));
                    }
                }
            }
            graph.insert(id.to_string(), json!({"class_type": class, "inputs": inputs}));
        }
        Value::Object(graph)
    }
}

/// A value for a described input: mostly one that fits.
fn fill(random: &mut Random, input: &Value, nodes: usize) -> Value {
    let link = |random: &mut Random| json!([(1 + random.next(nodes + 1)).to_string(), random.next(3)]);
    if random.next(12) == 0 {
        return odd(random);
    }
    let options = input[0].as_array().or_else(|| input[1]["options"].as_array()).filter(|o| !o.is_empty());
    if let Some(options) = options {
        return options[random.next(options.len())].clone();
    }
    match input[0].as_str() {
        Some("INT" | "FLOAT" | "STRING" | "BOOLEAN") if random.next(6) > 0 => {
            let bounds = [&input[1]["default"], &input[1]["min"], &input[1]["max"]];
            bounds[random.next(3)].clone()
        }
        _ => link(random),
    }
}

/// The editor's own format, with a subgraph, a bypassed node, a reroute and a note.
fn editors() -> Value {
    let node = |id: u64, kind: &str, inputs: Value, outputs: Value, values: Value| {
        json!({
            "id": id, "type": kind, "mode": if id == 4 { 4 } else { 0 }, "inputs": inputs, "outputs": outputs,
            "widgets_values": values, "properties": {"Node name for S&R": kind, "proxyWidgets": [["2", "color"]]},
        })
    };
    let image = |link: u64| json!([{"name": "image", "type": "IMAGE", "link": link}]);
    let out = |link: u64| json!([{"name": "IMAGE", "type": "IMAGE", "links": [link]}]);
    json!({"prompt": {
        "nodes": [
            node(1, "b5b2-sub", json!([]), out(1), json!([9])),
            node(3, "Reroute", image(1), out(2), json!(null)),
            node(4, "ImageInvert", image(2), out(3), json!([])),
            node(5, "SaveImage", json!([{"name": "images", "type": "IMAGE", "link": 3}]), json!([]),
                json!(["%date:yyyy-MM-dd%/%EmptyImage.width%"])),
            node(6, "Note", json!([]), json!([]), json!(["a note"])),
            node(7, "workflow/pair", json!([]), json!([]), json!([64, 64, 1, 0])),
        ],
        "links": [[1, 1, 0, 3, 0, "IMAGE"], [2, 3, 0, 4, 0, "IMAGE"], [3, 4, 0, 5, 0, "IMAGE"]],
        "groups": [], "version": 0.4,
        "extra": {"groupNodes": {"pair": {"nodes": [{"index": 0, "type": "EmptyImage", "widgets_values": [64, 64, 1, 0]}],
            "links": [], "external": []}}},
        "definitions": {"subgraphs": [{
            "id": "b5b2-sub", "name": "sub", "inputNode": {"id": -10}, "outputNode": {"id": -20}, "inputs": [],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [8]}],
            "nodes": [node(2, "EmptyImage", json!([]), out(8), json!([64, 64, 1, 0]))],
            "links": [{"id": 8, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "IMAGE"}],
        }]},
    }, "client_id": "fuzz"})
}

/// What was answered so far.
#[derive(Default)]
pub(super) struct Told {
    accepted: BTreeSet<String>,
    kinds: BTreeMap<String, usize>,
}

pub(super) fn check(server: &Server, bytes: &[u8], told: &mut Told) {
    let answer = server.send("POST", "/prompt", &[("content-type", "application/json")], bytes);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"), "{}", answer.text());
    let body = answer.json();
    let kind = match answer.status {
        200 => {
            assert!(body["number"].is_number(), "{body}");
            let id = body["prompt_id"].as_str().unwrap();
            assert_eq!(id.len(), 36, "{body}");
            told.accepted.insert(id.to_owned());
            "accepted"
        }
        400 => {
            let error = &body["error"];
            assert!(error["message"].is_string() && error["details"].is_string(), "{body}");
            assert!(error["extra_info"].is_object(), "{body}");
            error["type"].as_str().filter(|kind| REFUSALS.contains(kind)).unwrap_or_else(|| panic!("{body}"))
        }
        other => panic!("{other}: {body}"),
    };
    *told.kinds.entry(kind.to_owned()).or_default() += 1;
    for (id, node) in body["node_errors"].as_object().unwrap_or_else(|| panic!("{body}")) {
        assert!(node["class_type"].is_string() && node["dependent_outputs"].is_array(), "{id}: {node}");
        for error in node["errors"].as_array().unwrap_or_else(|| panic!("{id}: {node}")) {
            let kind = error["type"].as_str().filter(|kind| NODE_ERRORS.contains(kind));
            let kind = kind.unwrap_or_else(|| panic!("{id}: {error}"));
            assert!(error["message"].is_string() && error["details"].is_string(), "{id}: {error}");
            *told.kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
}

impl Told {
    /// Everything that was accepted waits, and nothing else. Then it is dropped.
    pub(super) fn check_queue(&mut self, server: &Server) {
        let queue = server.get("/queue").json();
        let ids = queue["queue_pending"].as_array().unwrap().iter().map(|job| job[1].as_str().unwrap().to_owned());
        assert_eq!(ids.collect::<BTreeSet<_>>(), self.accepted);
        assert_eq!(server.post("/queue", &json!({"clear": true})).status, 200);
        self.accepted.clear();
    }

    /// Cases that all ended in the same way would show nothing.
    pub(super) fn check_variety(&self) {
        for kind in ["accepted", "invalid_prompt", "missing_node_type", "prompt_outputs_failed_validation"] {
            assert!(self.kinds.contains_key(kind), "no case was `{kind}`: {self}");
        }
        assert!(self.kinds.len() >= 12, "{self}");
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        f.write_str(&kinds.join(", "))
    }
}

#[test]
fn every_kind_of_refusal_is_documented() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/server.md")).unwrap();
    for kind in REFUSALS.iter().chain(&NODE_ERRORS).chain(&["no_room"]) {
        assert!(page.contains(&format!("`{kind}`")), "docs/server.md does not name `{kind}`");
    }
}

//! One small workflow for each rule.

mod hostile;
mod links;
mod subgraphs;
mod values;

use super::{ConvertError, ObjectInfo, Sending, to_api};
use crate::Moment;
use serde_json::{Value, json};

const SENDING: Sending =
    Sending { now: Moment { year: 2031, month: 4, day: 7, hour: 15, minute: 9, second: 26 }, seed: 3 };

/// A few nodes as a server describes them.
fn nodes() -> ObjectInfo {
    let node = |required: Value, optional: Value, title: &str| json!({ "input": { "required": required, "optional": optional }, "display_name": title });
    let sizes = json!({ "options": [
        { "key": "size", "inputs": { "required": { "width": ["INT", { "default": 8 }], "height": ["INT", {}] } } },
        { "key": "like", "inputs": { "required": { "image": ["IMAGE", {}] } } },
    ] });
    let seed = json!(["INT", { "default": 0, "control_after_generate": true }]);
    let info = json!({
        "Load": node(json!({ "image": [["a.png", "b.png"], { "image_upload": true }] }), json!({ "more": ["INT", {}] }), "Load Image"),
        "Checkpoint": node(json!({ "name": [["sd15", "xl"], {}] }), json!({}), "Load Checkpoint"),
        "Encode": node(json!({ "clip": ["CLIP", {}], "text": ["STRING", { "multiline": true, "dynamicPrompts": true }] }), json!({}), "Encode"),
        "Sample": node(
            json!({ "model": ["MODEL", {}], "seed": seed, "steps": ["INT", { "default": 20 }],
                    "positive": ["CONDITIONING", {}], "cfg": ["FLOAT", { "default": 8.0 }] }),
            json!({ "hook": ["INT", { "forceInput": true }] }), "Sampler"),
        "Lora": node(json!({ "model": ["MODEL", {}], "clip": ["CLIP", {}], "strength": ["FLOAT", { "default": 1 }] }), json!({}), "Lora"),
        "Invert": node(json!({ "image": ["IMAGE", {}] }), json!({}), "Invert"),
        "Mixed": node(json!({ "mask": ["MASK", {}], "image": ["IMAGE,MASK", {}] }), json!({}), "Mixed"),
        "Resize": node(json!({ "input": ["IMAGE", {}], "kind": ["COMFY_DYNAMICCOMBO_V3", sizes], "exact": ["BOOLEAN", {}] }), json!({}), "Resize"),
        "Save": node(json!({ "images": ["IMAGE", {}], "prefix": ["STRING", { "default": "out" }] }), json!({}), "Save Image"),
        "Points": node(json!({ "points": ["STRING", {}], "count": ["INT", {}] }), json!({}), "Points"),
    });
    ObjectInfo::new(info).unwrap()
}

#[track_caller]
fn api(workflow: Value) -> Value {
    to_api(&workflow, &nodes(), &SENDING).unwrap_or_else(|e| panic!("{e}"))
}

#[track_caller]
fn error(workflow: Value) -> String {
    match to_api(&workflow, &nodes(), &SENDING) {
        Err(ConvertError::NotUi) => "not the editor's".to_owned(),
        Err(e) => e.to_string(),
        Ok(api) => panic!("{api}"),
    }
}

/// `inputs` are `(name, type, link)`, the type followed by `*` if it was a widget; `outputs` are types.
fn node(id: u64, class_type: &str, inputs: &[(&str, &str, u64)], outputs: &[&str], values: Value) -> Value {
    let input = |&(name, kind, link): &(&str, &str, u64)| {
        let mut input = json!({ "name": name, "type": kind.trim_end_matches('*') });
        input["link"] = if link == 0 { Value::Null } else { json!(link) };
        if kind.len() > 1 && kind.ends_with('*') {
            input["widget"] = json!({ "name": name });
        }
        input
    };
    json!({
        "id": id, "type": class_type, "mode": 0,
        "inputs": inputs.iter().map(input).collect::<Vec<_>>(),
        "outputs": outputs.iter().map(|t| json!({ "name": t, "type": t })).collect::<Vec<_>>(),
        "widgets_values": values,
    })
}

/// `(id, from, slot, to, slot)`.
fn workflow(nodes: Vec<Value>, links: &[(u64, u64, u64, u64, u64)]) -> Value {
    let links: Vec<Value> = links.iter().map(|l| json!([l.0, l.1, l.2, l.3, l.4, "*"])).collect();
    json!({ "nodes": nodes, "links": links, "version": 0.4 })
}

fn with(mut node: Value, key: &str, value: Value) -> Value {
    node[key] = value;
    node
}

/// A definition; links are `(id, from, slot, to, slot)`, with -10 for the inputs and -20 for the outputs.
fn subgraph(
    id: &str,
    nodes: Vec<Value>,
    links: &[(u64, i64, u64, i64, u64)],
    inputs: &[&str],
    outputs: &[&str],
) -> Value {
    let leads = |slot: usize| {
        let found = links.iter().filter(|l| l.1 == -10 && l.2 == slot as u64);
        found.map(|l| l.0).collect::<Vec<_>>()
    };
    let comes = |slot: usize| {
        let found = links.iter().filter(|l| l.3 == -20 && l.4 == slot as u64);
        found.map(|l| l.0).collect::<Vec<_>>()
    };
    let object = |l: &(u64, i64, u64, i64, u64)| json!({ "id": l.0, "origin_id": l.1, "origin_slot": l.2, "target_id": l.3, "target_slot": l.4, "type": "*" });
    let input = |(n, name): (usize, &&str)| json!({ "name": name, "type": "*", "linkIds": leads(n) });
    let output = |(n, name): (usize, &&str)| json!({ "name": name, "type": "*", "linkIds": comes(n) });
    json!({
        "id": id, "name": format!("the {id}"), "nodes": nodes,
        "links": links.iter().map(object).collect::<Vec<_>>(),
        "inputs": inputs.iter().enumerate().map(input).collect::<Vec<_>>(),
        "outputs": outputs.iter().enumerate().map(output).collect::<Vec<_>>(),
    })
}

fn with_subgraphs(workflow: Value, definitions: Vec<Value>) -> Value {
    with(workflow, "definitions", json!({ "subgraphs": definitions }))
}

#[test]
fn the_editors_format_is_recognised() {
    assert!(super::is_ui(&workflow(vec![], &[])));
    assert!(super::is_ui(&json!({ "prompt": workflow(vec![], &[]), "client_id": "x" })));
    assert!(!super::is_ui(&json!({ "3": { "class_type": "Save", "inputs": {} } })));
    assert!(!super::is_ui(&json!([])));
    let asked = json!({ "prompt": workflow(vec![node(1, "Save", &[], &[], json!(["a"]))], &[]) });
    assert_eq!(api(asked)["1"]["inputs"]["prefix"], "a");
}

#[test]
fn titles_are_always_written() {
    let renamed = with(node(2, "Save", &[], &[], json!([])), "title", json!("Keep"));
    let api = api(workflow(vec![node(1, "Save", &[], &[], json!([])), renamed], &[]));
    assert_eq!(api["1"]["_meta"]["title"], "Save Image");
    assert_eq!(api["2"]["_meta"]["title"], "Keep");
    assert_eq!(api["2"]["class_type"], "Save");
}

#[test]
fn unknown_nodes_are_all_named_unless_they_are_left_out() {
    let muted = with(node(3, "Absent", &[], &[], json!([])), "mode", json!(2));
    let titled = with(node(2, "Savee", &[], &[], json!([])), "title", json!("Mine"));
    let both = workflow(vec![node(1, "Foo", &[], &[], json!([])), titled, muted], &[]);
    let said = error(both.clone());
    assert!(said.contains("node 1 (Foo): there is no node `Foo`"), "{said}");
    assert!(said.contains("node 2 (Savee, «Mine»): there is no node `Savee`; did you mean `Save`"), "{said}");
    assert!(!said.contains("node 3"), "{said}");
    let body = to_api(&both, &nodes(), &SENDING).unwrap_err().to_json();
    assert_eq!(body["error"]["type"], "missing_node_type");
    assert_eq!(body["error"]["extra_info"], json!({ "node_id": "1", "class_type": "Foo", "node_title": "Foo" }));
}

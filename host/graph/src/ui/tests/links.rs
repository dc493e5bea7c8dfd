//! Links, and what stands between the node that gives and the one that takes.

use super::*;

fn sampler(link: u64) -> Value {
    node(9, "Sample", &[("model", "MODEL", link)], &["LATENT"], json!([1, "fixed", 2, 3.0]))
}

fn checkpoint() -> Value {
    node(1, "Checkpoint", &[], &["MODEL", "CLIP"], json!(["xl"]))
}

#[test]
fn links_are_node_and_slot_as_arrays_and_as_objects() {
    let encode = node(2, "Encode", &[("clip", "CLIP", 5)], &["CONDITIONING"], json!(["a cat"]));
    let mut w = workflow(vec![checkpoint(), encode], &[(5, 1, 1, 2, 0)]);
    let expected = json!({ "text": "a cat", "clip": ["1", 1] });
    assert_eq!(api(w.clone())["2"]["inputs"], expected);
    w["links"] =
        json!([{ "id": 5, "origin_id": 1, "origin_slot": 1, "target_id": 2, "target_slot": 0, "type": "CLIP" }]);
    assert_eq!(api(w.clone())["2"]["inputs"], expected);
    w["links"] = json!([]);
    assert_eq!(api(w)["2"]["inputs"], json!({ "text": "a cat" }), "a link that is gone");
}

#[test]
fn notes_are_left_out_and_reroutes_followed() {
    let reroute = |id, link| node(id, "Reroute", &[("", "*", link)], &["*"], Value::Null);
    let nodes = vec![
        checkpoint(),
        reroute(2, 10),
        reroute(3, 11),
        sampler(12),
        node(4, "Note", &[], &[], json!(["hi"])),
        node(5, "MarkdownNote", &[], &[], json!(["# hi"])),
    ];
    let api = api(workflow(nodes, &[(10, 1, 0, 2, 0), (11, 2, 0, 3, 0), (12, 3, 0, 9, 0)]));
    assert_eq!(api["9"]["inputs"]["model"], json!(["1", 0]));
    assert_eq!(api.as_object().unwrap().len(), 2, "{api}");
}

#[test]
fn primitives_write_their_value() {
    let primitive = node(2, "PrimitiveNode", &[], &["INT"], json!([77, "randomize"]));
    let reroute = node(3, "Reroute", &[("", "*", 6)], &["*"], Value::Null);
    let sampler = node(9, "Sample", &[("steps", "INT*", 5), ("seed", "INT*", 7)], &[], json!([1, "fixed", 2, 3.0]));
    let found = api(workflow(vec![primitive, reroute, sampler], &[(5, 2, 0, 9, 0), (6, 2, 0, 3, 0), (7, 3, 0, 9, 1)]));
    assert_eq!(found["9"]["inputs"], json!({ "seed": 77, "steps": 77, "cfg": 3.0 }));
    assert!(found.get("2").is_none());
    let list = node(2, "PrimitiveNode", &[], &["STRING"], json!([["a", 1]]));
    let points = node(9, "Points", &[("points", "STRING*", 5)], &[], json!(["", 1]));
    let found = api(workflow(vec![list, points], &[(5, 2, 0, 9, 0)]));
    assert_eq!(found["9"]["inputs"]["points"], json!({ "__value__": ["a", 1] }));
}

#[test]
fn set_and_get_nodes_are_a_link() {
    let set = node(2, "SetNode", &[("MODEL", "MODEL", 5)], &["*"], json!(["base"]));
    let get = node(3, "GetNode", &[], &["MODEL"], json!(["base"]));
    let api = api(workflow(vec![checkpoint(), set, get, sampler(6)], &[(5, 1, 0, 2, 0), (6, 3, 0, 9, 0)]));
    assert_eq!(api["9"]["inputs"]["model"], json!(["1", 0]));
}

fn lora(id: u64, mode: u64, model: u64, clip: u64) -> Value {
    let inputs = [("model", "MODEL", model), ("clip", "CLIP", clip)];
    with(node(id, "Lora", &inputs, &["MODEL", "CLIP"], json!([0.5])), "mode", json!(mode))
}

#[test]
fn links_to_muted_nodes_are_dropped() {
    let api = api(workflow(vec![checkpoint(), lora(2, 2, 5, 0), sampler(6)], &[(5, 1, 0, 2, 0), (6, 2, 0, 9, 0)]));
    assert!(api.get("2").is_none() && api["9"]["inputs"].get("model").is_none(), "{api}");
}

#[test]
fn bypassed_nodes_pass_on_the_input_with_the_outputs_type() {
    let encode = node(8, "Encode", &[("clip", "CLIP", 8)], &[], json!([""]));
    let links = [(5, 1, 0, 2, 0), (6, 2, 0, 9, 0), (7, 1, 1, 2, 1), (8, 2, 1, 8, 0)];
    let api = api(workflow(vec![checkpoint(), lora(2, 4, 5, 7), sampler(6), encode], &links));
    assert!(api.get("2").is_none());
    assert_eq!(api["9"]["inputs"]["model"], json!(["1", 0]));
    assert_eq!(api["8"]["inputs"]["clip"], json!(["1", 1]));
}

#[test]
fn bypassed_nodes_look_beyond_the_same_slot_and_may_have_nothing_to_pass_on() {
    let mixed = with(
        node(2, "Mixed", &[("mask", "MASK", 5), ("image", "IMAGE,MASK", 6)], &["IMAGE"], json!([])),
        "mode",
        json!(4),
    );
    let (load, load2) =
        (node(3, "Load", &[], &["IMAGE", "MASK"], json!([])), node(4, "Load", &[], &["IMAGE"], json!([])));
    let save = node(9, "Save", &[("images", "IMAGE", 7)], &[], json!([]));
    let found = api(workflow(vec![load, load2, mixed, save], &[(5, 3, 1, 2, 0), (6, 4, 0, 2, 1), (7, 2, 0, 9, 0)]));
    assert_eq!(found["9"]["inputs"]["images"], json!(["4", 0]));

    let loader = with(checkpoint(), "mode", json!(4));
    let found = api(workflow(vec![loader, sampler(6)], &[(6, 1, 0, 9, 0)]));
    assert!(found["9"]["inputs"].get("model").is_none(), "{found}");

    // An input of any type takes what stands at the same place.
    let any = node(9, "Save", &[("images", "*", 7)], &[], json!([]));
    let bypassed = with(node(2, "Invert", &[("image", "IMAGE", 5)], &["MASK"], json!([])), "mode", json!(4));
    let found = api(workflow(
        vec![node(3, "Load", &[], &["IMAGE"], json!([])), bypassed, any],
        &[(5, 3, 0, 2, 0), (7, 2, 0, 9, 0)],
    ));
    assert_eq!(found["9"]["inputs"]["images"], json!(["3", 0]));
}

#[test]
fn chains_of_bypassed_nodes_and_reroutes_are_followed_to_the_end() {
    let mut nodes = vec![checkpoint(), sampler(5000)];
    let mut links = vec![(5000, 2000, 0, 9, 0), (1001, 1, 0, 1001, 0)];
    for id in 1001..=2000 {
        let reroute = node(id, "Reroute", &[("", "*", id)], &["*"], Value::Null);
        nodes.push(if id % 2 == 0 { reroute } else { lora(id, 4, id, 0) });
        links.push((id + 1, id, 0, id + 1, 0));
    }
    assert_eq!(api(workflow(nodes, &links))["9"]["inputs"]["model"], json!(["1", 0]));
}

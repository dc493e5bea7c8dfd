//! Subgraphs, the values that their instances hold, and the older group nodes.

use super::*;

/// `clip` and `text` go in, a conditioning comes out.
fn prompt_graph() -> Value {
    let encode = node(7, "Encode", &[("clip", "CLIP", 1), ("text", "STRING*", 2)], &["CONDITIONING"], json!(["inner"]));
    subgraph(
        "prompt",
        vec![encode],
        &[(1, -10, 0, 7, 0), (2, -10, 1, 7, 1), (3, 7, 0, -20, 0)],
        &["clip", "text"],
        &["cond"],
    )
}

fn instance(id: u64, values: Value) -> Value {
    node(id, "prompt", &[("clip", "CLIP", 11)], &["CONDITIONING"], values)
}

fn outside(instance: Value) -> Value {
    let sampler = node(9, "Sample", &[("positive", "CONDITIONING", 12)], &[], json!([1, "fixed", 2, 3.0]));
    let loader = node(1, "Checkpoint", &[], &["MODEL", "CLIP"], json!(["xl"]));
    let links = [(11, 1, 1, 56, 0), (12, 56, 0, 9, 0), (13, 30, 0, 56, 1)];
    with_subgraphs(workflow(vec![loader, instance, sampler], &links), vec![prompt_graph()])
}

#[test]
fn inner_nodes_have_the_instances_id_before_theirs() {
    let api = api(outside(instance(56, json!([]))));
    assert_eq!(api["56:7"]["inputs"], json!({ "text": "inner", "clip": ["1", 1] }));
    assert_eq!(api["9"]["inputs"]["positive"], json!(["56:7", 0]));
    assert!(api.get("56").is_none());
}

#[test]
fn an_instances_value_wins_over_the_inner_one_and_a_link_over_both() {
    assert_eq!(api(outside(instance(56, json!(["outer"]))))["56:7"]["inputs"]["text"], "outer");
    let mut linked = instance(56, json!(["outer"]));
    linked["inputs"].as_array_mut().unwrap().push(json!({ "name": "text", "type": "STRING", "link": 13 }));
    let mut w = outside(linked);
    w["nodes"].as_array_mut().unwrap().push(node(30, "PrimitiveNode", &[], &["STRING"], json!(["primitive"])));
    assert_eq!(api(w)["56:7"]["inputs"]["text"], "primitive");
}

#[test]
fn older_instances_list_their_widgets_by_inner_node() {
    let by = |proxies: Value, values: Value| {
        api(outside(with(instance(56, values), "properties", json!({ "proxyWidgets": proxies }))))["56:7"]["inputs"]["text"].clone()
    };
    assert_eq!(by(json!([["-1", "text"]]), json!(["boundary"])), "boundary");
    assert_eq!(by(json!([["7", "text"]]), json!(["inside"])), "inside");
    assert_eq!(by(json!([["7", "text"]]), json!([])), "inner", "no value: the inner one counts");
    let kept = json!([{ "originalEntry": ["-1", "text"], "hostValue": "kept" }]);
    let quarantined = with(instance(56, json!(["outer"])), "properties", json!({ "proxyWidgetErrorQuarantine": kept }));
    assert_eq!(api(outside(quarantined))["56:7"]["inputs"]["text"], "kept");
}

#[test]
fn promoted_widgets_that_no_input_leads_to_are_set_too() {
    let sampler = node(5, "Sample", &[("model", "MODEL", 1)], &["LATENT"], json!([1, "fixed", 2, 3.0]));
    let inner = subgraph("s", vec![sampler], &[(1, -10, 0, 5, 0)], &["model"], &[]);
    let proxies = json!([["5", "seed"], ["5", "control_after_generate"], ["5", "5: cfg"]]);
    let instance =
        with(node(4, "s", &[], &[], json!([99, "randomize", 6.5])), "properties", json!({ "proxyWidgets": proxies }));
    let api = api(with_subgraphs(workflow(vec![instance], &[]), vec![inner]));
    assert_eq!(api["4:5"]["inputs"], json!({ "seed": 99, "steps": 2, "cfg": 6.5 }));
}

#[test]
fn nested_instances_pass_links_values_and_outputs_through() {
    let inner = node(3, "prompt", &[("clip", "CLIP", 1), ("text", "STRING*", 2)], &["CONDITIONING"], json!(["middle"]));
    let outer = |links| subgraph("outer", vec![inner.clone()], links, &["clip", "text"], &["cond"]);
    let through: &[_] = &[(1, -10, 0, 3, 0), (2, -10, 1, 3, 1), (3, 3, 0, -20, 0)];
    let cut: &[_] = &[(1, -10, 0, 3, 0), (3, 3, 0, -20, 0)];
    let of = |definition: Value, values: Value| {
        let mut w = outside(with(instance(56, values), "type", json!("outer")));
        w["definitions"]["subgraphs"].as_array_mut().unwrap().push(definition);
        api(w)
    };
    let found = of(outer(through), json!(["outermost"]));
    assert_eq!(found["56:3:7"]["inputs"], json!({ "text": "outermost", "clip": ["1", 1] }));
    assert_eq!(found["9"]["inputs"]["positive"], json!(["56:3:7", 0]));
    assert_eq!(of(outer(through), json!([]))["56:3:7"]["inputs"]["text"], "inner");
    assert_eq!(of(outer(cut), json!(["unused"]))["56:3:7"]["inputs"]["text"], "middle");
}

#[test]
fn two_instances_of_one_definition_are_two_sets_of_nodes() {
    let nodes = vec![instance(56, json!(["one"])), instance(57, json!(["two"]))];
    let api = api(with_subgraphs(workflow(nodes, &[]), vec![prompt_graph()]));
    assert_eq!(api["56:7"]["inputs"]["text"], "one");
    assert_eq!(api["57:7"]["inputs"]["text"], "two");
}

#[test]
fn muted_instances_vanish_and_bypassed_ones_pass_on() {
    let muted = api(outside(with(instance(56, json!([])), "mode", json!(2))));
    assert!(muted.get("56:7").is_none() && muted["9"]["inputs"].get("positive").is_none(), "{muted}");
    let through = node(56, "prompt", &[("clip", "CONDITIONING", 11)], &["CONDITIONING"], json!([]));
    let bypassed = api(outside(with(through, "mode", json!(4))));
    assert!(bypassed.get("56:7").is_none());
    assert_eq!(bypassed["9"]["inputs"]["positive"], json!(["1", 1]));
}

#[test]
fn a_link_may_go_straight_through_a_subgraph() {
    let straight = subgraph("straight", vec![], &[(1, -10, 0, -20, 0)], &["in"], &["out"]);
    let instance = node(4, "straight", &[("in", "IMAGE", 5)], &["IMAGE"], json!([]));
    let nodes = vec![
        node(1, "Load", &[], &["IMAGE"], json!([])),
        instance,
        node(9, "Save", &[("images", "IMAGE", 6)], &[], json!([])),
    ];
    let api = api(with_subgraphs(workflow(nodes, &[(5, 1, 0, 4, 0), (6, 4, 0, 9, 0)]), vec![straight]));
    assert_eq!(api["9"]["inputs"]["images"], json!(["1", 0]));
}

#[test]
fn instance_inputs_are_found_by_name_in_any_order() {
    let mut instance = instance(56, json!([]));
    instance["inputs"] = json!([
        { "name": "text", "type": "STRING", "link": 13, "widget": { "name": "text" } },
        { "name": "clip", "type": "CLIP", "link": 11 },
    ]);
    let mut w = outside(instance);
    w["nodes"].as_array_mut().unwrap().push(node(30, "PrimitiveNode", &[], &["STRING"], json!(["by name"])));
    assert_eq!(api(w)["56:7"]["inputs"], json!({ "text": "by name", "clip": ["1", 1] }));
}

#[test]
fn group_nodes_are_expanded() {
    let encode = |n: u64, text: &str| node(n, "Encode", &[("clip", "CLIP", 70)], &["CONDITIONING"], json!([text]));
    let sampler = node(
        0,
        "Sample",
        &[("model", "MODEL", 71), ("positive", "CONDITIONING", 72)],
        &["LATENT"],
        json!([1, "fixed", 2, 3.0]),
    );
    let group = json!({
        "nodes": [encode(0, "a"), sampler, encode(0, "b")],
        "links": [[0, 0, 1, 1, 30, "CONDITIONING"], [null, 0, 0, 0, 31, "CLIP"]],
        "external": [],
    });
    let inputs = [("clip", "CLIP", 5), ("model", "MODEL", 6), ("Encode clip", "CLIP", 5)];
    let outputs = ["LATENT", "CONDITIONING"];
    let values = json!(["first", 42, "fixed", 12, 5.5, "second"]);
    let instance = node(4, "workflow>Mine", &inputs, &outputs, values);
    let next = node(9, "Sample", &[("positive", "CONDITIONING", 7)], &[], json!([]));
    let loader = node(1, "Checkpoint", &[], &["MODEL", "CLIP"], json!(["xl"]));
    let w = workflow(vec![loader, instance, next], &[(5, 1, 1, 4, 0), (6, 1, 0, 4, 1), (7, 4, 1, 9, 0)]);
    let api = api(with(w, "extra", json!({ "groupNodes": { "Mine": group } })));
    assert_eq!(api["4:0"]["inputs"], json!({ "text": "first", "clip": ["1", 1] }));
    assert_eq!(
        api["4:1"]["inputs"],
        json!({ "seed": 42, "steps": 12, "cfg": 5.5, "model": ["1", 0], "positive": ["4:0", 0] })
    );
    assert_eq!(api["4:2"]["inputs"], json!({ "text": "second", "clip": ["1", 1] }));
    assert_eq!(api["9"]["inputs"]["positive"], json!(["4:2", 0]), "the used output is hidden");
}

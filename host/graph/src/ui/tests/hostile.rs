//! Files that no editor wrote: a message or a sound result, never a panic, never without end.

use super::*;

#[test]
fn wrong_shapes_are_said_all_at_once() {
    assert_eq!(error(json!({ "nodes": 3 })), "not the editor's");
    let said = error(
        json!({ "nodes": [3, { "id": 1 }, { "type": "Save" }, { "id": 1, "type": "Save" }, { "id": 1, "type": "Save" }] }),
    );
    for part in ["found a number", "node 1 has no `type`", "a node has no `id`", "two nodes have the id 1"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn parts_of_the_wrong_type_count_as_absent() {
    let strange = json!({
        "nodes": [{ "id": 1, "type": "Save", "mode": "x", "inputs": [3, { "link": {} }], "outputs": 5, "widgets_values": 7 }],
        "links": [3, [], [{}], { "id": [] }, null],
        "definitions": { "subgraphs": 3 }, "extra": { "groupNodes": [] },
    });
    assert_eq!(api(strange)["1"]["inputs"], json!({ "prefix": "out" }));
}

#[test]
fn links_in_a_circle_lead_nowhere() {
    let reroute = |id, link| node(id, "Reroute", &[("", "*", link)], &["*"], Value::Null);
    let save = node(9, "Save", &[("images", "IMAGE", 3)], &[], json!([]));
    let api =
        api(workflow(vec![reroute(1, 2), reroute(2, 1), save], &[(1, 1, 0, 2, 0), (2, 2, 0, 1, 0), (3, 1, 0, 9, 0)]));
    assert_eq!(api["9"]["inputs"], json!({ "prefix": "out" }));
}

#[test]
fn a_subgraph_that_contains_itself_is_refused() {
    let instance = |kind: &str| node(2, kind, &[], &[], json!([]));
    let direct = subgraph("a", vec![instance("a")], &[], &[], &[]);
    let said = error(with_subgraphs(workflow(vec![instance("a")], &[]), vec![direct]));
    assert_eq!(said, "node 2:2: the subgraph «the a» contains itself");
    let round =
        vec![subgraph("a", vec![instance("b")], &[], &[], &[]), subgraph("b", vec![instance("a")], &[], &[], &[])];
    assert!(error(with_subgraphs(workflow(vec![instance("a")], &[]), round)).contains("contains itself"));
}

#[test]
fn definitions_that_double_thirty_times_are_refused() {
    let level = |n: u64| {
        let inner = format!("g{}", n + 1);
        let (a, b) = (node(1, &inner, &[], &[], json!([])), node(2, &inner, &[], &[], json!([])));
        subgraph(&format!("g{n}"), vec![a, b], &[], &[], &[])
    };
    let mut definitions: Vec<Value> = (0..30).map(level).collect();
    definitions.push(subgraph("g30", vec![node(1, "Save", &[], &[], json!([]))], &[], &[], &[]));
    let said = error(with_subgraphs(workflow(vec![node(1, "g0", &[], &[], json!([]))], &[]), definitions));
    assert!(said.contains("more than 100000 nodes"), "{said}");
}

#[test]
fn deep_nesting_and_inputs_of_unused_circles_end() {
    let level = |n: u64| {
        let inner = node(1, &format!("g{}", n + 1), &[("x", "*", 1)], &[], json!([]));
        subgraph(&format!("g{n}"), vec![inner], &[(1, -10, 0, 1, 0)], &["x"], &[])
    };
    let definitions: Vec<Value> = (0..200).map(level).collect();
    let said = error(with_subgraphs(workflow(vec![node(1, "g0", &[], &[], json!([]))], &[]), definitions));
    assert!(said.contains("more than 64 deep"), "{said}");
}

#[test]
fn forty_thousand_reroutes_need_no_stack_and_no_patience() {
    let mut nodes = vec![node(100_001, "Load", &[], &["IMAGE"], json!([]))];
    let mut links = Vec::new();
    for id in 1..=40_000u64 {
        let reroute = with(node(id, "Reroute", &[("", "*", id)], &["*"], Value::Null), "mode", json!(0));
        nodes.push(reroute);
        links.push((id, if id == 1 { 100_001 } else { id - 1 }, 0, id, 0));
    }
    // Many readers of the whole chain.
    for reader in 0..2_000u64 {
        let id = 200_000 + reader;
        nodes.push(node(id, "Save", &[("images", "IMAGE", id)], &[], json!([])));
        links.push((id, 40_000, 0, id, 0));
    }
    let started = std::time::Instant::now();
    let api = api(workflow(nodes, &links));
    assert_eq!(api["201999"]["inputs"]["images"], json!(["100001", 0]));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn any_cut_of_a_workflow_is_read_without_a_panic() {
    let whole = with_subgraphs(
        workflow(
            vec![
                node(1, "Load", &[], &["IMAGE"], json!(["a.png", "image"])),
                node(4, "s", &[("in", "IMAGE", 5)], &["IMAGE"], json!([1])),
                node(9, "Save", &[("images", "IMAGE", 6)], &[], json!(["x"])),
            ],
            &[(5, 1, 0, 4, 0), (6, 4, 0, 9, 0)],
        ),
        vec![subgraph(
            "s",
            vec![node(2, "Invert", &[("image", "IMAGE", 1)], &["IMAGE"], json!([]))],
            &[(1, -10, 0, 2, 0), (2, 2, 0, -20, 0)],
            &["in"],
            &["out"],
        )],
    );
    let mut pointers = Vec::new();
    collect(&whole, String::new(), &mut pointers);
    assert!(pointers.len() > 100);
    for pointer in &pointers {
        for odd in
            [Value::Null, json!(-1), json!(1e300), json!("-10"), json!([]), json!({}), json!([["4", 0]]), json!(true)]
        {
            let mut cut = whole.clone();
            *cut.pointer_mut(pointer).unwrap() = odd;
            let _ = to_api(&cut, &nodes(), &SENDING);
        }
    }
}

fn collect(value: &Value, at: String, into: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(n, v)| collect(v, format!("{at}/{n}"), into)),
        Value::Object(map) => map.iter().for_each(|(k, v)| collect(v, format!("{at}/{k}"), into)),
        _ => {}
    }
    into.push(at);
}

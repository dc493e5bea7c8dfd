//! Values of widgets.

use super::super::{Describe, FromCatalog, Shape};
use super::*;

fn inputs(class_type: &str, inputs: &[(&str, &str, u64)], values: Value) -> Value {
    api(workflow(vec![node(1, class_type, inputs, &[], values)], &[]))["1"]["inputs"].clone()
}

#[test]
fn positions_become_names_and_controls_are_left_out() {
    let found = inputs("Sample", &[("model", "MODEL", 0)], json!([18446744073709551615u64, "randomize", 30, 7.5]));
    assert_eq!(found, json!({ "seed": 18446744073709551615u64, "steps": 30, "cfg": 7.5 }));
}

#[test]
fn short_absent_and_null_values_are_filled_with_defaults() {
    assert_eq!(inputs("Sample", &[], json!([5, "fixed"])), json!({ "seed": 5, "steps": 20, "cfg": 8.0 }));
    assert_eq!(inputs("Sample", &[], Value::Null), json!({ "seed": 0, "steps": 20, "cfg": 8.0 }));
    assert_eq!(inputs("Checkpoint", &[], json!([])), json!({ "name": "sd15" }));
}

#[test]
fn values_by_name_are_taken_by_name() {
    let saved = json!({ "seed": 3, "videopreview": { "hidden": true }, "crf": 19 });
    assert_eq!(inputs("Sample", &[], saved), json!({ "seed": 3, "crf": 19, "steps": 20, "cfg": 8.0 }));
}

#[test]
fn arrays_are_wrapped() {
    let found = inputs("Points", &[], json!([[[1, 2], [3, 4]], 2]));
    assert_eq!(found, json!({ "points": { "__value__": [[1, 2], [3, 4]] }, "count": 2 }));
    assert_eq!(inputs("Points", &[], json!([["7", 0], 2]))["points"], json!({ "__value__": ["7", 0] }));
}

#[test]
fn upload_buttons_have_a_place_before_the_optional_inputs() {
    assert_eq!(inputs("Load", &[], json!(["b.png", "image"])), json!({ "image": "b.png", "more": 0 }));
    assert_eq!(inputs("Load", &[], json!(["b.png", "image", 4])), json!({ "image": "b.png", "more": 4 }));
}

#[test]
fn a_widget_that_became_an_input_keeps_its_place_and_the_link_wins() {
    let sampler = node(1, "Sample", &[("steps", "INT*", 9)], &[], json!([5, "fixed", 30, 7.5]));
    let source = node(2, "Points", &[], &["INT"], json!(["", 1]));
    let api = api(workflow(vec![sampler, source], &[(9, 2, 0, 1, 0)]));
    assert_eq!(api["1"]["inputs"], json!({ "seed": 5, "steps": ["2", 0], "cfg": 7.5 }));
}

#[test]
fn a_choice_with_inputs_of_its_own_names_them_with_a_dot() {
    let found = inputs("Resize", &[("input", "IMAGE", 0)], json!(["size", 640, 480, true]));
    assert_eq!(found, json!({ "kind": "size", "kind.width": 640, "kind.height": 480, "exact": true }));
    assert_eq!(inputs("Resize", &[], json!(["like", true])), json!({ "kind": "like", "exact": true }));
    assert_eq!(
        inputs("Resize", &[], json!([])),
        json!({ "kind": "size", "exact": false, "kind.width": 8, "kind.height": 0 })
    );
    let linked = node(1, "Resize", &[("input", "IMAGE", 0), ("kind.image", "IMAGE", 4)], &[], json!(["like", true]));
    let api = api(workflow(vec![linked, node(2, "Invert", &[], &["IMAGE"], json!([]))], &[(4, 2, 0, 1, 1)]));
    assert_eq!(api["1"]["inputs"]["kind.image"], json!(["2", 0]));
}

#[test]
fn prefixes_of_files_are_filled_in_with_values_of_other_nodes() {
    let sampler = with(node(1, "Sample", &[], &[], json!([5, "fixed", 30, 7.5])), "title", json!("First"));
    let save =
        with(node(2, "Save", &[], &[], json!(["%First.steps%/%date:yyyy-MM%/%width%"])), "type", json!("SaveImage"));
    let info = json!({
        "Sample": { "input": { "required": { "seed": ["INT", {}], "steps": ["INT", {}], "cfg": ["FLOAT", {}] } } },
        "SaveImage": { "input": { "required": { "filename_prefix": ["STRING", {}] } } },
    });
    let api = to_api(&workflow(vec![save, sampler], &[]), &ObjectInfo::new(info).unwrap(), &SENDING).unwrap();
    assert_eq!(api["2"]["inputs"]["filename_prefix"], "30/2031-04/%width%");
}

#[test]
fn one_of_the_choices_in_a_prompt_is_sent() {
    let text = |text: &str| inputs("Encode", &[], json!([text]))["text"].as_str().unwrap().to_owned();
    let taken = text("a {red|blue|green} cat // not sent");
    assert!(["a red cat ", "a blue cat ", "a green cat "].contains(&taken.as_str()), "{taken}");
    assert_eq!(taken, text("a {red|blue|green} cat // neither is this"));
    assert_eq!(text("\\{a|b\\}"), "{a|b}");
    assert_eq!(inputs("Save", &[], json!(["{a|b}"]))["prefix"], "{a|b}", "only prompts have choices");
}

/// Our node with a menu and growing links, saved by an editor that read its description.
#[test]
fn dynamic_inputs_of_our_own_nodes_read_like_those_of_a_server() {
    let catalog = crate::testing::Nodes::new();
    let ours = FromCatalog(&catalog);
    let described: serde_json::Map<String, Value> = crate::testing::dynamic()
        .inputs
        .iter()
        .map(|i| (i.name.clone(), crate::input_config(i, &|_| Vec::new())))
        .collect();
    let info = ObjectInfo::new(json!({ "Dynamic": { "input": { "required": described }, "display_name": "Dynamic" } }));
    let slots = |shape: Shape| shape.inputs;
    assert_eq!(slots(ours.shape("Dynamic").unwrap()), slots(info.unwrap().shape("Dynamic").unwrap()));

    let images = [("images.image0", "IMAGE", 1), ("images.image1", "IMAGE", 2), ("images.image2", "IMAGE", 0)];
    let saved = workflow(
        vec![
            node(1, "Empty", &[], &["IMAGE"], json!([64])),
            node(2, "Dynamic", &images, &["IMAGE"], json!([1, "deep", "twice", 5, 7])),
        ],
        &[(1, 1, 0, 2, 0), (2, 1, 0, 2, 1)],
    );
    let api = to_api(&saved, &ours, &SENDING).unwrap();
    let inputs = json!({
        "first": 1, "kind": "deep", "kind.way": "twice", "kind.way.by": 5, "last": 7,
        "images.image0": ["1", 0], "images.image1": ["1", 0],
    });
    assert_eq!(api["2"]["inputs"], inputs);
}

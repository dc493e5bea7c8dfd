use super::{Checked, Options, validate};
use crate::testing::Nodes;
use crate::{Kind, Plan, Problems, Workflow};
use serde_json::{Value, json};

fn check(workflow: Value) -> Result<Plan, Problems> {
    validate(&Workflow::from_json(workflow).unwrap(), &Nodes::new())
}

fn problems(workflow: Value) -> Problems {
    check(workflow).err().unwrap_or_else(|| panic!("the workflow was accepted"))
}

fn kinds(problems: &Problems) -> Vec<(&str, Kind)> {
    problems.problems.iter().map(|p| (p.node.as_str(), p.kind)).collect()
}

#[test]
fn a_good_workflow_becomes_a_plan_with_ancestors_first() {
    let plan = check(json!({
        "9": {"class_type": "Save", "inputs": {"image": ["5", 0]}},
        "5": {"class_type": "Invert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "turn"}},
        "1": {"class_type": "Empty", "inputs": {"width": "32"}},
        "7": {"class_type": "Invert", "inputs": {"image": ["1", 0]}},
    }))
    .unwrap();
    let ids: Vec<&str> = plan.nodes.iter().map(|n| n.id.as_str()).collect();
    assert_eq!(ids, ["1", "5", "9"], "7 feeds no output");
    assert_eq!(plan.outputs, [2]);
    assert_eq!(plan.nodes[2].links[0].1.node, 1);
    assert_eq!(plan.nodes[1].title.as_deref(), Some("turn"));
    assert!(matches!(&plan.nodes[0].constants["width"], spec::Value::Data(v) if *v == json!(32)));
}

#[test]
fn all_problems_come_at_once_with_node_input_and_type() {
    let found = problems(json!({
        "1": {"class_type": "Empty", "inputs": {"width": 0, "colour": 5, "hieght": 3}},
        "2": {"class_type": "Split", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "Invert", "inputs": {"image": ["2", 1]}},
        "4": {"class_type": "Invert", "inputs": {"image": ["2", 2]}},
        "5": {"class_type": "Save", "inputs": {"image": ["3", 0]}},
        "6": {"class_type": "Save", "inputs": {"image": ["4", 0]}},
        "7": {"class_type": "Save", "inputs": {}},
        "8": {"class_type": "Save", "inputs": {"image": ["77", 0]}},
        "9": {"class_type": "Inverrt", "inputs": {}},
    }));
    assert_eq!(
        kinds(&found),
        [
            ("1", Kind::ValueSmallerThanMin),
            ("1", Kind::UnknownInput),
            ("3", Kind::ReturnTypeMismatch),
            ("4", Kind::LinkToNowhere),
            ("7", Kind::RequiredInputMissing),
            ("8", Kind::LinkToNowhere),
            ("9", Kind::MissingNodeType),
        ]
    );
    assert_eq!(found.dependent_outputs["1"], ["5", "6"]);
    let text = found.to_string();
    assert!(text.contains("node 1 (Empty), input `width`: expected 1 to 4096, found 0"), "{text}");
    assert!(text.contains("expected IMAGE, found MASK from output 1 of node 2 (Split)"), "{text}");
    assert!(text.contains("did you mean `Invert`"), "{text}");
}

#[test]
fn problems_have_comfyuis_structure() {
    let json = problems(json!({"7": {"class_type": "Save", "inputs": {}}})).to_json();
    assert_eq!(json["error"]["type"], "prompt_outputs_failed_validation");
    let entry = &json["node_errors"]["7"];
    assert_eq!(entry["class_type"], "Save");
    assert_eq!(entry["dependent_outputs"], json!(["7"]));
    assert_eq!(entry["errors"][0]["type"], "required_input_missing");
    assert_eq!(entry["errors"][0]["message"], "Required input is missing");
    assert_eq!(entry["errors"][0]["extra_info"]["input_name"], "image");
    let json = problems(json!({"7": {"class_type": "Sav", "inputs": {}}})).to_json();
    assert_eq!(json["error"]["type"], "missing_node_type");
    assert_eq!(json["error"]["extra_info"]["node_id"], "7");
}

#[test]
fn a_cycle_is_named_by_its_path() {
    let found = problems(json!({
        "a": {"class_type": "Invert", "inputs": {"image": ["c", 0]}},
        "b": {"class_type": "Invert", "inputs": {"image": ["a", 0]}},
        "c": {"class_type": "Invert", "inputs": {"image": ["b", 0]}},
        "d": {"class_type": "Save", "inputs": {"image": ["c", 0]}},
    }));
    assert_eq!(kinds(&found), [("a", Kind::DependencyCycle)]);
    assert!(found.to_string().contains("a → b → c → a"), "{found}");
    let json = found.to_json();
    assert_eq!(json["error"]["type"], "prompt_outputs_failed_validation");
    for id in ["a", "b", "c"] {
        assert_eq!(json["node_errors"][id]["errors"][0]["type"], "dependency_cycle");
        assert_eq!(json["node_errors"][id]["errors"][0]["extra_info"]["node_id"], id);
        assert_eq!(json["node_errors"][id]["dependent_outputs"], json!(["d"]));
    }
    let path = "c (Invert) -> b (Invert) -> a (Invert) -> c (Invert)";
    assert_eq!(json["node_errors"]["a"]["errors"][0]["details"], path);
    let own = problems(json!({"a": {"class_type": "Loose", "inputs": {"image": ["a", 0]}},
        "d": {"class_type": "Save", "inputs": {"image": ["a", 0]}}}));
    assert!(own.to_string().contains("a → a"), "{own}");
}

#[test]
fn a_cycle_that_no_output_needs_is_ignored() {
    let plan = check(json!({
        "a": {"class_type": "Invert", "inputs": {"image": ["a", 0]}},
        "1": {"class_type": "Empty", "inputs": {"width": 1}},
        "d": {"class_type": "Save", "inputs": {"image": ["1", 0]}},
    }));
    assert_eq!(plan.unwrap().nodes.len(), 2);
}

#[test]
fn chains_of_ten_thousand_nodes_and_cycles_of_the_same_length_are_fine() {
    let chain = |first: Value| {
        let mut map = serde_json::Map::new();
        map.insert("0".into(), first);
        for i in 1..10_000 {
            map.insert(i.to_string(), json!({"class_type": "Invert", "inputs": {"image": [(i - 1).to_string(), 0]}}));
        }
        map.insert("end".into(), json!({"class_type": "Save", "inputs": {"image": ["9999", 0]}}));
        Value::Object(map)
    };
    let plan = check(chain(json!({"class_type": "Empty", "inputs": {"width": 8}}))).unwrap();
    assert_eq!(plan.nodes.len(), 10_001);
    let cyclic = problems(chain(json!({"class_type": "Invert", "inputs": {"image": ["9999", 0]}})));
    assert_eq!(kinds(&cyclic), [("0", Kind::DependencyCycle)]);
    assert!(cyclic.to_string().contains("… 9990 more …"), "{cyclic}");
}

#[test]
fn unknown_inputs_warn_where_clients_send_extras_unless_the_user_set_them() {
    let mut workflow = Workflow::from_json(json!({
        "1": {"class_type": "Empty", "inputs": {"width": 1}},
        "2": {"class_type": "Loose", "inputs": {"image": ["1", 0], "upload": "image"}},
        "3": {"class_type": "Save", "inputs": {"image": ["2", 0]}},
    }))
    .unwrap();
    let plan = validate(&workflow, &Nodes::new()).unwrap();
    assert_eq!(plan.warnings[0].kind, Kind::UnknownInput);
    workflow.set("2.imge=5").unwrap();
    let found = validate(&workflow, &Nodes::new()).unwrap_err();
    assert_eq!(kinds(&found), [("2", Kind::UnknownInput)]);
}

#[test]
fn what_only_the_old_class_has_warns_after_a_swap() {
    let mut workflow = Workflow::from_json(json!({
        "1": {"class_type": "Empty", "inputs": {"width": 1}},
        "2": {"class_type": "Loose", "inputs": {"image": ["1", 0], "threshold": 0.5}},
        "3": {"class_type": "Save", "inputs": {"image": ["2", 0]}},
    }))
    .unwrap();
    workflow.set("2.class_type=Invert").unwrap();
    let plan = validate(&workflow, &Nodes::new()).unwrap();
    assert_eq!(plan.node("2").unwrap().class_type, "Invert");
    assert_eq!(plan.warnings.len(), 1);
}

#[test]
fn empty_optional_inputs_and_absent_parts() {
    let found = problems(json!({
        "1": {"class_type": "Empty", "inputs": {"width": null, "colour": null}},
        "2": {"class_type": "Save", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "Save"},
        "4": {"inputs": {}},
        "5": {"class_type": "Save", "inputs": {"image": ["1"]}},
    }));
    assert_eq!(
        kinds(&found),
        [
            ("1", Kind::InvalidInputType),
            ("3", Kind::MissingInputs),
            ("4", Kind::MissingNodeType),
            ("5", Kind::BadLinkedInput)
        ]
    );
}

#[test]
fn a_workflow_without_outputs_says_so() {
    assert_eq!(kinds(&problems(json!({}))), [("", Kind::NoOutputs)]);
    let found = problems(json!({"1": {"class_type": "Empty", "inputs": {"width": 1}}}));
    assert_eq!(found.to_json()["error"]["type"], "prompt_no_outputs");
}

fn half(workflow: Value, targets: Option<&[&str]>) -> Checked {
    let options = Options { targets: targets.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect()) };
    super::check(&Workflow::from_json(workflow).unwrap(), &Nodes::new(), &options)
}

fn ids(checked: &Checked) -> Vec<&str> {
    checked.plan.as_ref().unwrap().nodes.iter().map(|n| n.id.as_str()).collect()
}

#[test]
fn good_outputs_run_without_the_bad_ones() {
    let checked = half(
        json!({
            "1": {"class_type": "Empty", "inputs": {"width": 8}},
            "2": {"class_type": "Invert", "inputs": {"image": ["gone", 0]}},
            "bad": {"class_type": "Save", "inputs": {"image": ["2", 0]}},
            "worse": {"class_type": "Save", "inputs": {"image": ["gone", 0]}},
            "good": {"class_type": "Save", "inputs": {"image": ["1", 0]}},
        }),
        None,
    );
    assert_eq!(ids(&checked), ["1", "good"]);
    let plan = checked.plan.as_ref().unwrap();
    assert_eq!((plan.outputs.clone(), plan.nodes[1].links[0].1.node), (vec![1], 0));
    let errors = checked.problems.node_errors();
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["2", "worse"]);
    assert_eq!(errors["2"]["dependent_outputs"], json!(["bad"]));
    let error = &errors["2"]["errors"][0];
    assert_eq!((&error["type"], &error["details"]), (&json!("exception_during_inner_validation"), &json!("'gone'")));
    assert_eq!(errors["worse"]["errors"][0]["type"], "exception_during_validation");
    assert_eq!(errors["worse"]["errors"][0]["extra_info"]["exception_type"], "KeyError");
}

#[test]
fn targets_choose_among_the_outputs() {
    let workflow = || {
        json!({
            "1": {"class_type": "Empty", "inputs": {"width": 8}},
            "2": {"class_type": "Empty", "inputs": {"width": 0}},
            "a": {"class_type": "Save", "inputs": {"image": ["1", 0]}},
            "b": {"class_type": "Save", "inputs": {"image": ["2", 0]}},
        })
    };
    let one = half(workflow(), Some(&["a", "1", "nobody"]));
    assert_eq!((ids(&one), one.problems.is_empty()), (vec!["1", "a"], true));
    for targets in [&[] as &[&str], &["1"]] {
        let none = half(workflow(), Some(targets));
        assert!(none.plan.is_none());
        assert_eq!(none.problems.to_json()["error"]["type"], "prompt_no_outputs");
    }
}

#[test]
fn an_unknown_class_stops_even_good_outputs() {
    let checked = half(
        json!({
            "1": {"class_type": "Empty", "inputs": {"width": 8}},
            "a": {"class_type": "Save", "inputs": {"image": ["1", 0]}},
            "x": {"class_type": "Nowhere", "inputs": {}, "_meta": {"title": "lost"}},
        }),
        None,
    );
    assert!(checked.plan.is_none());
    let json = checked.problems.to_json();
    assert_eq!((&json["error"]["type"], &json["node_errors"]), (&json!("missing_node_type"), &json!({})));
    assert_eq!(json["error"]["extra_info"]["node_title"], "lost");
}

#[test]
fn nodes_that_check_themselves_are_asked() {
    let save = |id: &str| json!({"class_type": "Save", "inputs": {"image": [id, 0]}});
    let picky =
        |a: Value, b: Value| check(json!({"p": {"class_type": "Picky", "inputs": {"a": a, "b": b}}, "s": save("p")}));
    assert!(picky(json!(5.0), json!(3.0)).is_ok());
    for wrong in [json!(5), json!("foo")] {
        let found = picky(wrong, json!(3.0)).unwrap_err();
        assert_eq!(kinds(&found), [("p", Kind::CustomValidationFailed); 2], "at each input that the check covers");
        let error = &found.node_errors()["p"]["errors"][0];
        assert_eq!((&error["type"], &error["details"]), (&json!("custom_validation_failed"), &json!("a - no float")));
        assert_eq!(error["extra_info"]["input_name"], "a");
    }
    let sevens = |x: f64| check(json!({"p": {"class_type": "Sevens", "inputs": {"x": x}}, "s": save("p")}));
    assert!(sevens(5.0).is_ok(), "bounds are the node's own matter");
    assert!(sevens(7.0).unwrap_err().to_string().contains("no sevens"));
    let split = json!({"class_type": "Split", "inputs": {"image": ["e", 0]}});
    let empty = json!({"class_type": "Empty", "inputs": {"width": 1}});
    let typed = |slot: u64| {
        let typed = json!({"class_type": "Typed", "inputs": {"image": ["split", slot]}});
        check(json!({"e": empty, "split": split, "p": typed, "s": save("p")}))
    };
    assert!(typed(0).is_ok());
    assert_eq!(typed(1).unwrap_err().node_errors()["p"]["errors"][0]["details"], "input_types");
    let broken = check(json!({"broken": {"class_type": "Sevens", "inputs": {"x": 0.5}}, "s": save("broken")}));
    assert_eq!(kinds(&broken.unwrap_err()), [("broken", Kind::CheckFailed)]);
}

#[test]
fn undeclared_inputs_reach_a_variadic_node() {
    let plan = check(json!({
        "1": {"class_type": "Empty", "inputs": {"width": 8}},
        "2": {"class_type": "Average", "inputs": {"input1": ["1", 0], "input2": ["1", 0], "more": 3}},
        "s": {"class_type": "Save", "inputs": {"image": ["2", 0]}},
    }))
    .unwrap();
    let average = plan.node("2").unwrap();
    assert_eq!(average.links.len(), 2);
    assert!(average.constants.contains_key("more"));
}

#[test]
fn fields_are_worded_as_clients_know_them() {
    let errors = |node: Value| {
        let save = json!({"class_type": "Save", "inputs": {"image": ["1", 0]}});
        let checked = half(json!({"1": node, "s": save}), None);
        checked.problems.node_errors()["1"]["errors"][0].clone()
    };
    let low = errors(json!({"class_type": "Empty", "inputs": {"width": 0}}));
    assert_eq!((&low["message"], &low["details"]), (&json!("Value 0 smaller than min of 1"), &json!("width")));
    assert_eq!(low["extra_info"]["input_config"][1]["min"], 1);
    assert_eq!(low["extra_info"]["received_value"], 0);
    let wrong = errors(json!({"class_type": "Empty", "inputs": {"width": "many"}}));
    assert_eq!(wrong["message"], "Failed to convert an input value to a INT value");
    assert!(wrong["details"].as_str().unwrap().starts_with("width, many, "));
    let link = errors(json!({"class_type": "Empty", "inputs": {"width": ["1"]}}));
    assert_eq!((&link["type"], &link["details"]), (&json!("bad_linked_input"), &json!("width")));
}

/// `Dynamic` with these inputs, `e` being a picture.
fn dynamic(inputs: Value) -> Value {
    json!({
        "e": {"class_type": "Empty", "inputs": {"width": 8}},
        "m": {"class_type": "Split", "inputs": {"image": ["e", 0]}},
        "d": {"class_type": "Dynamic", "inputs": inputs},
        "s": {"class_type": "Save", "inputs": {"image": ["d", 0]}},
    })
}

#[test]
fn inputs_follow_from_what_a_menu_stands_at_and_from_what_is_linked() {
    let two = json!({"images.image0": ["e", 0], "images.image1": ["m", 0]});
    let with = |more: Value| {
        let mut all = two.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        dynamic(all)
    };
    let plan =
        check(with(json!({"kind": "size", "kind.width": "16", "kind.height": 3, "images.image3": ["e", 0]}))).unwrap();
    let node = plan.node("d").unwrap();
    let links: Vec<&str> = node.links.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(links, ["images.image0", "images.image1", "images.image3"]);
    assert!(matches!(&node.constants["kind.width"], spec::Value::Data(v) if *v == json!(16)));
    assert!(plan.warnings.is_empty());

    let plan = check(with(json!({"kind": "deep", "kind.way": "twice", "kind.way.by": 2}))).unwrap();
    assert!(plan.node("d").unwrap().constants.contains_key("kind.way.by"));

    let all = with(json!({"kind": "size", "kind.width": 65, "images.image2": ["m", 1]}));
    let found = problems(all);
    let named: Vec<_> = found.problems.iter().map(|p| (p.input.as_deref().unwrap(), p.kind)).collect();
    assert_eq!(
        named,
        [
            ("kind.width", Kind::ValueBiggerThanMax),
            ("kind.height", Kind::RequiredInputMissing),
            ("images.image2", Kind::ReturnTypeMismatch),
        ]
    );
    let found = problems(dynamic(json!({"kind": "sise", "images.image1": ["e", 0]})));
    let named: Vec<_> = found.problems.iter().map(|p| (p.input.as_deref().unwrap(), p.kind)).collect();
    assert_eq!(named, [("kind", Kind::ValueNotInList), ("images.image0", Kind::RequiredInputMissing)]);
    assert!(found.to_string().contains("did you mean `size`"), "{found}");
    let found = problems(with(json!({"kind": ["e", 0]})));
    assert_eq!(kinds(&found), [("d", Kind::BadLinkedInput)]);
    let found = problems(with(json!({"kind": "like", "kind.image": 3})));
    assert_eq!(kinds(&found), [("d", Kind::InvalidInputType)]);
}

#[test]
fn what_another_choice_would_bring_is_no_input() {
    let inputs = json!({
        "kind": "deep", "kind.way": "no", "kind.image": ["gone", 0], "kind.way.by": 2,
        "images.image0": ["e", 0], "images.image1": ["e", 0], "images.image4": ["m", 0], "images.image01": ["m", 0],
    });
    let plan = check(dynamic(inputs)).unwrap();
    let ignored: Vec<&str> = plan.warnings.iter().map(|p| p.input.as_deref().unwrap()).collect();
    assert_eq!(ignored, ["kind.image", "kind.way.by", "images.image4", "images.image01"]);
    assert!(plan.node("m").is_none(), "what only ignored inputs need does not run");
}

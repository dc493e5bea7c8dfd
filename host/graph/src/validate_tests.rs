use super::validate;
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
    assert_eq!(found.to_json()["error"]["type"], "dependency_cycle");
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

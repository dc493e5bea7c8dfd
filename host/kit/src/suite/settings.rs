//! Settings to try: the defaults, and ones that must be refused.

use super::Object;
use serde_json::{Value, json};
use spec::{Input, Node, Widget};

/// What is needed and can be guessed; everything else has its default.
pub(crate) fn defaults(node: &Node, folder: Option<&str>) -> Value {
    let mut settings = Object::new();
    for input in node.inputs.iter().filter(|i| i.required) {
        let value = match &input.widget {
            Widget::HostList(list) if list == "folder" => folder.map(|f| json!(f)),
            Widget::Combo { options, default: None, .. } => options.first().map(|o| json!(o)),
            _ => None,
        };
        if let Some(value) = value {
            settings.insert(input.name.clone(), value);
        }
    }
    Value::Object(settings)
}

/// Settings with one fault each, and what is wrong with them.
pub(crate) fn wrong(node: &Node, good: &Value) -> Vec<(Value, String)> {
    let mut all = vec![(with(good, "no_such_setting", json!(1)), "a setting that it does not have".to_owned())];
    for input in &node.inputs {
        for (value, what) in wrong_values(input) {
            all.push((with(good, &input.name, value), format!("`{}` {what}", input.name)));
        }
    }
    all
}

fn wrong_values(input: &Input) -> Vec<(Value, &'static str)> {
    match &input.widget {
        Widget::Int { min, max, .. } => {
            let mut all = vec![(json!("three"), "as a text that is no number"), (json!({}), "as an object")];
            all.extend(max.checked_add(1).map(|over| (json!(over), "above its maximum")));
            all.extend(min.checked_sub(1).map(|under| (json!(under), "below its minimum")));
            all
        }
        Widget::Float { max, .. } => {
            let mut all = vec![(json!("much"), "as a text that is no number"), (json!([1.0, 2.0]), "as a list")];
            all.extend(Some(max + 1.0).filter(|m| m.is_finite() && *m > *max).map(|m| (json!(m), "above its maximum")));
            all
        }
        Widget::Boolean { .. } => vec![(json!({}), "as an object")],
        Widget::Text { .. } => vec![(json!({}), "as an object")],
        Widget::Combo { multiselect: false, .. } => vec![(json!("no such choice"), "as a choice that there is not")],
        _ => Vec::new(),
    }
}

fn with(good: &Value, name: &str, value: Value) -> Value {
    let mut settings = good.clone();
    settings[name] = value;
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::Socket;

    fn input(name: &str, widget: Widget, required: bool) -> Input {
        Input { name: name.into(), socket: Socket::Int, widget, required, is_list: false, lazy: false, tooltip: None }
    }

    fn node(inputs: Vec<Input>) -> Node {
        let mut node: Node = serde_json::from_value(json!({
            "id": "a.b", "role": "captioner", "display-name": "", "category": "", "description": "", "inputs": [],
            "outputs": [], "output-node": false, "deterministic": true, "revision": 0, "experimental": false,
            "deprecated": false, "aliases": []
        }))
        .unwrap();
        node.inputs = inputs;
        node
    }

    #[test]
    fn folders_are_guessed_and_faults_are_one_at_a_time() {
        let int = Widget::Int { default: 1, min: 0, max: i64::MAX, step: 1, seed_control: false };
        let node = node(vec![input("in", Widget::HostList("folder".into()), true), input("n", int, false)]);
        assert_eq!(defaults(&node, Some("pictures")), json!({"in": "pictures"}));
        assert_eq!(defaults(&node, None), json!({}));
        let wrong = wrong(&node, &json!({"in": "x"}));
        assert!(wrong.iter().all(|(settings, _)| settings["in"] == "x" && settings.as_object().unwrap().len() == 2));
        let texts: Vec<&str> = wrong.iter().map(|(_, what)| what.as_str()).collect();
        assert!(texts.contains(&"`n` below its minimum") && !texts.contains(&"`n` above its maximum"), "{texts:?}");
    }
}

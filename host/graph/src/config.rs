//! An input as `object_info` and the errors of a prompt show it: `["INT", {"default": 20, "min": 1}]`.

use serde_json::{Map, Value, json};
use spec::{Input, Widget};

/// Type and options of an input. `names` are the entries of a host list.
pub fn input_config(input: &Input, names: &dyn Fn(&str) -> Vec<String>) -> Value {
    let mut options = Map::new();
    let mut kind = json!(input.socket.name());
    match &input.widget {
        Widget::None => {
            if matches!(input.socket.name(), "INT" | "FLOAT" | "STRING" | "BOOLEAN") {
                options.insert("forceInput".into(), json!(true));
            }
        }
        Widget::Int { default, min, max, step, seed_control } => {
            // Widgets hold i64; the greatest stands for «no bound», because seeds reach 2⁶⁴ − 1.
            let max = if *max == i64::MAX { json!(u64::MAX) } else { json!(max) };
            options.extend([("default".into(), json!(default)), ("min".into(), json!(min)), ("max".into(), max)]);
            options.insert("step".into(), json!(step));
            if *seed_control {
                options.insert("control_after_generate".into(), json!(true));
            }
        }
        Widget::Float { default, min, max, step, round } => {
            options.extend([
                ("default".into(), json!(default)),
                ("min".into(), json!(min)),
                ("max".into(), json!(max)),
            ]);
            options.insert("step".into(), json!(step));
            options.extend(round.map(|r| ("round".to_owned(), json!(r))));
        }
        Widget::Text { default, multiline, placeholder } => {
            options.extend([("default".into(), json!(default)), ("multiline".into(), json!(multiline))]);
            options.extend(placeholder.as_ref().map(|p| ("placeholder".to_owned(), json!(p))));
        }
        Widget::Boolean { default, label_on, label_off } => {
            options.insert("default".into(), json!(default));
            options.extend(label_on.as_ref().map(|l| ("label_on".to_owned(), json!(l))));
            options.extend(label_off.as_ref().map(|l| ("label_off".to_owned(), json!(l))));
        }
        Widget::Combo { options: all, default, multiselect } => {
            kind = json!(all);
            options.extend(default.as_ref().map(|d| ("default".to_owned(), json!(d))));
            if *multiselect {
                options.insert("multiselect".into(), json!(true));
            }
        }
        Widget::HostList(list) if matches!(list.as_str(), "folder" | "file") => {}
        Widget::HostList(list) => kind = json!(names(list)),
        Widget::Branches(branches) => {
            kind = json!("COMFY_DYNAMICCOMBO_V3");
            let branch = |b: &spec::Branch| json!({ "key": b.key, "inputs": sections(&b.inputs, names) });
            options.insert("options".into(), branches.iter().map(branch).collect());
        }
        Widget::Growing { prefix, min, max } => {
            kind = json!("COMFY_AUTOGROW_V3");
            let one = json!([input.socket.name(), {}]);
            let template =
                json!({ "input": { "required": { prefix: one } }, "prefix": prefix, "min": min, "max": max });
            options.insert("template".into(), template);
        }
    }
    if input.lazy {
        options.insert("lazy".into(), json!(true));
    }
    options.extend(input.tooltip.as_ref().map(|t| ("tooltip".to_owned(), json!(t))));
    json!([kind, options])
}

/// Inputs behind a choice, as a node's own. One with a widget has a value in every prompt that a front end makes.
fn sections(inputs: &[Input], names: &dyn Fn(&str) -> Vec<String>) -> Value {
    let section = |required: bool| -> Map<String, Value> {
        let inputs = inputs.iter().filter(|i| (i.required || i.widget != Widget::None) == required);
        inputs.map(|i| (i.name.clone(), input_config(i, names))).collect()
    };
    let mut all = json!({ "required": section(true) });
    let optional = section(false);
    if !optional.is_empty() {
        all["optional"] = Value::Object(optional);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::input_with;
    use spec::Socket;

    #[test]
    fn types_and_options_are_those_of_object_info() {
        let seed = Widget::Int { default: 0, min: 0, max: i64::MAX, step: 1, seed_control: true };
        let config = input_config(&input_with("seed", Socket::Int, seed), &|_| Vec::new());
        let options = json!({"default": 0, "min": 0, "max": u64::MAX, "step": 1, "control_after_generate": true});
        assert_eq!(config, json!(["INT", options]));
        let list = input_with("lora", Socket::Text, Widget::HostList("models/loras".into()));
        assert_eq!(input_config(&list, &|_| vec!["a".into()]), json!([["a"], {}]));
        let link = input_with("seconds", Socket::Float, Widget::None);
        assert_eq!(input_config(&link, &|_| Vec::new()), json!(["FLOAT", {"forceInput": true}]));
    }

    #[test]
    fn dynamic_inputs_have_comfyui_s_types_and_templates() {
        let node = crate::testing::dynamic();
        let config = |n: usize| input_config(&node.inputs[n], &|_| Vec::new());
        assert_eq!(config(1)[0], "COMFY_DYNAMICCOMBO_V3");
        let options = &config(1)[1]["options"];
        let number = json!(["INT", {"default": 8, "min": 0, "max": 64, "step": 1}]);
        let size = json!({"required": {"width": number, "height": ["INT", {"forceInput": true}]}});
        assert_eq!(options[0], json!({"key": "size", "inputs": size}));
        assert_eq!(options[2]["inputs"]["required"]["way"][0], "COMFY_DYNAMICCOMBO_V3");
        let template = json!({"input": {"required": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 4});
        assert_eq!(config(2), json!(["COMFY_AUTOGROW_V3", {"template": template}]));
    }
}

//! Nodes as ComfyUI's front end reads them, made from their descriptions. Kept as text until a list of files changes.

use crate::app::App;
use engine::Registry;
use graph::Catalog;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use spec::{Input, Node, Role, Widget};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The text of `/object_info` for the lists that it was made with.
#[derive(Default)]
pub(crate) struct ObjectInfo(Mutex<Option<Made>>);

type Lists = BTreeMap<String, Vec<String>>;
type Made = (Lists, Arc<Registry>, Arc<[u8]>);

impl ObjectInfo {
    /// All nodes.
    pub(crate) fn all(&self, app: &App) -> Arc<[u8]> {
        let registry = app.host.registry();
        let lists = lists(app, &registry);
        let mut made = self.0.lock();
        if let Some((with, of, text)) = made.as_ref()
            && *with == lists
            && Arc::ptr_eq(of, &registry)
        {
            return text.clone();
        }
        let nodes = registry.nodes().map(|n| (n.spec().id.clone(), node(n.spec(), &lists)));
        let text: Arc<[u8]> = Value::Object(nodes.collect()).to_string().into_bytes().into();
        *made = Some((lists, registry, text.clone()));
        text
    }

    /// One node, or `{}`.
    pub(crate) fn one(&self, app: &App, class: &str) -> Value {
        let registry = app.host.registry();
        let Some(spec) = registry.node(class) else { return json!({}) };
        Value::Object(Map::from_iter([(class.to_owned(), node(spec, &lists_of(app, [spec])))]))
    }
}

/// The pictures in the input folder, in the place of a host list.
const INPUT_PICTURES: &str = "file";

fn lists(app: &App, registry: &Registry) -> Lists {
    lists_of(app, registry.nodes().map(|n| n.spec()))
}

fn lists_of<'a>(app: &App, specs: impl IntoIterator<Item = &'a Node>) -> Lists {
    let mut lists = Lists::new();
    let mut inputs: Vec<&Input> = specs.into_iter().flat_map(|s| &s.inputs).collect();
    while let Some(input) = inputs.pop() {
        if let Widget::Branches(branches) = &input.widget {
            inputs.extend(branches.iter().flat_map(|b| &b.inputs));
        }
        if let Widget::HostList(name) = &input.widget
            && !lists.contains_key(name)
        {
            let found = match name.as_str() {
                INPUT_PICTURES => crate::paths::pictures_in(&app.config.input_dir),
                "folder" => Vec::new(),
                other => app.host.registry().host_list(other),
            };
            lists.insert(name.clone(), found);
        }
    }
    lists
}

fn node(spec: &Node, lists: &Lists) -> Value {
    // An input with a widget has a value in every prompt that a front end makes, so ComfyUI calls it required.
    let is_required = |i: &&Input| i.required || i.widget != Widget::None;
    let section = |required: bool| -> Map<String, Value> {
        let inputs = spec.inputs.iter().filter(|i| is_required(i) == required);
        inputs.map(|i| (i.name.clone(), input(spec, i, lists))).collect()
    };
    let (required, optional) = (section(true), section(false));
    let names = |section: &Map<String, Value>| section.keys().cloned().collect::<Vec<_>>();
    let mut order = json!({ "required": names(&required) });
    let mut inputs = json!({ "required": required });
    if !optional.is_empty() {
        order["optional"] = json!(names(&optional));
        inputs["optional"] = Value::Object(optional);
    }
    let hidden: Map<String, Value> =
        spec.behaviour.hidden.iter().map(|(name, hidden)| (name.clone(), hidden.name().into())).collect();
    if !hidden.is_empty() {
        order["hidden"] = json!(names(&hidden));
        inputs["hidden"] = Value::Object(hidden);
    }
    let of_outputs = |value: fn(&spec::Output) -> Value| spec.outputs.iter().map(value).collect::<Vec<_>>();
    let module = match spec.role {
        Role::Node if !spec.strict => "nodes",
        Role::Node => "anagama",
        _ => "custom_nodes.anagama_plugins",
    };
    json!({
        "input": inputs,
        "input_order": order,
        "is_input_list": spec.behaviour.takes_lists || spec.inputs.iter().any(|i| i.is_list && i.widget == Widget::None),
        "output": of_outputs(|o| o.socket.name().into()),
        "output_is_list": of_outputs(|o| o.is_list.into()),
        "output_name": of_outputs(|o| o.name.clone().into()),
        "output_tooltips": of_outputs(|o| o.tooltip.clone().into()),
        "name": spec.id,
        "display_name": spec.display_name,
        "description": spec.description,
        "python_module": module,
        "category": spec.category,
        "output_node": spec.output_node,
        "deprecated": spec.deprecated,
        "experimental": spec.experimental,
        "api_node": false,
        "search_aliases": spec.aliases,
    })
}

/// As errors of a prompt show it, with what only a front end needs.
fn input(spec: &Node, input: &Input, lists: &Lists) -> Value {
    let names = |list: &str| lists.get(list).cloned().unwrap_or_default();
    let mut config = graph::input_config(input, &names);
    let mut kind = None;
    if let Some(options) = config[1].as_object_mut() {
        match &input.widget {
            Widget::Text { multiline: true, .. } => {
                options.insert("dynamicPrompts".into(), true.into());
            }
            Widget::Combo { options: all, multiselect: true, .. } => {
                kind = Some(json!("COMBO"));
                options.insert("options".into(), json!(all));
            }
            // ComfyUI's own loaders choose among the uploaded files; ours take any path.
            Widget::HostList(list) if list == INPUT_PICTURES && !spec.strict => {
                kind = Some(json!(names(list)));
                options.insert("image_upload".into(), true.into());
            }
            _ => {}
        }
        if spec.behaviour.is_raw(&input.name) {
            options.insert("rawLink".into(), true.into());
        }
    }
    if let Some(kind) = kind {
        config[0] = kind;
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::Socket;

    fn described(name: &str, socket: Socket, widget: Widget, required: bool) -> Input {
        Input { name: name.into(), socket, widget, required, is_list: false, lazy: false, tooltip: None }
    }

    fn spec() -> Node {
        let seed = Widget::Int { default: 0, min: 0, max: i64::MAX, step: 1, seed_control: true };
        let combo =
            Widget::Combo { options: vec!["a".into(), "b".into()], default: Some("a".into()), multiselect: false };
        Node {
            id: "K".into(),
            role: Role::Node,
            display_name: "K node".into(),
            category: "sampling".into(),
            description: "d".into(),
            inputs: vec![
                described("model", Socket::Model, Widget::None, true),
                described("seed", Socket::Int, seed, false),
                described("how", Socket::Text, combo, false),
                described("lora", Socket::Text, Widget::HostList("models/loras".into()), true),
                described("image", Socket::Text, Widget::HostList("file".into()), true),
                described("strength", Socket::Float, Widget::None, false),
            ],
            outputs: vec![spec::Output { name: "L".into(), socket: Socket::Latent, is_list: false, tooltip: None }],
            output_node: false,
            deterministic: true,
            revision: 0,
            experimental: false,
            deprecated: false,
            aliases: vec![],
            strict: false,
            behaviour: spec::Behaviour::default(),
        }
    }

    #[test]
    fn a_node_reads_as_comfyui_s() {
        let lists =
            Lists::from([("models/loras".into(), vec!["x.safetensors".into()]), ("file".into(), vec!["p.png".into()])]);
        let info = node(&spec(), &lists);
        let required = &info["input"]["required"];
        assert_eq!(required["model"], json!(["MODEL", {}]));
        assert_eq!(required["seed"][1]["max"], json!(u64::MAX));
        assert_eq!(required["seed"][1]["control_after_generate"], true);
        assert_eq!(required["how"], json!([["a", "b"], {"default": "a"}]));
        assert_eq!(required["lora"], json!([["x.safetensors"], {}]));
        assert_eq!(required["image"], json!([["p.png"], {"image_upload": true}]));
        assert_eq!(info["input"]["optional"]["strength"], json!(["FLOAT", {"forceInput": true}]));
        assert_eq!(info["input_order"]["required"], json!(["model", "seed", "how", "lora", "image"]));
        assert_eq!((&info["output"], &info["output_name"]), (&json!(["LATENT"]), &json!(["L"])));
        assert_eq!(info["output_is_list"], json!([false]));
    }
}

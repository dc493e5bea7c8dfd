//! Nodes: values in, values out. Inputs that have a default or can be made up are tried; the rest needs `conformance.json`.

use super::{Answers, Items, Refusal};
use loader::{CallContext, NodeCall, NodeFeed, NodeInputs, NodeReturned, NodeValue, Plugin};
use serde_json::Value;
use spec::{ErrorKind, Input, Socket, Widget};

pub(crate) fn exercise(
    plugin: &Plugin,
    node: &spec::Node,
    settings: &Value,
    call: CallContext,
    items: &Items,
    _: usize,
) -> Result<Answers, Refusal> {
    let mut answers = Answers::default();
    let takes_pictures = node.inputs.iter().any(|i| i.socket == Socket::Image);
    let unknown = settings.as_object().into_iter().flatten().find(|(n, _)| !node.inputs.iter().any(|i| i.name == **n));
    if let Some((name, _)) = unknown.filter(|_| !node.behaviour.variadic) {
        // The host's own check, before a node runs.
        let message = format!("`{name}`: no such input");
        return Err(Refusal { kind: Some(ErrorKind::InvalidInput), message });
    }
    for picture in items.pictures.iter().take(if takes_pictures { usize::MAX } else { 1 }) {
        let mut inputs = NodeInputs::new();
        for input in &node.inputs {
            let given = settings.get(&input.name).map(|v| constant(v, input));
            let value = given.or_else(|| usual(input, picture));
            match value {
                Some(value) => drop(inputs.insert(input.name.clone(), vec![value])),
                None if input.required => {
                    let message = format!("input `{}`: a {} cannot be made up", input.name, input.socket.name());
                    return Err(Refusal { kind: Some(ErrorKind::Unsupported), message });
                }
                None => {}
            }
        }
        let node_call = NodeCall { id: "1".into(), prefix: "1.0.".into(), inputs };
        let returned = match plugin.run_node(&node.id, &node_call, call.clone()) {
            Ok(returned) => Ok(line(&returned)),
            Err(loader::LoadError::Call { kind: Some(kind), problem, .. }) => {
                Err(spec::PluginError::new(kind, problem))
            }
            Err(e) => return Err(e.into()),
        };
        answers.take(returned);
    }
    Ok(answers)
}

fn constant(value: &Value, input: &Input) -> NodeValue {
    match (value, &input.socket) {
        (Value::Number(n), Socket::Float) => NodeValue::Float(n.as_f64().unwrap_or_default()),
        (Value::Number(n), _) => n.as_i64().map_or(NodeValue::Float(n.as_f64().unwrap_or_default()), NodeValue::Int),
        (Value::Bool(b), _) => NodeValue::Boolean(*b),
        (Value::String(s), _) => NodeValue::Text(s.clone()),
        (other, _) => NodeValue::Json(other.clone()),
    }
}

fn usual(input: &Input, picture: &data::Image) -> Option<NodeValue> {
    Some(match &input.widget {
        Widget::Int { default, .. } => NodeValue::Int(*default),
        Widget::Float { default, .. } => NodeValue::Float(*default),
        Widget::Text { default, .. } => NodeValue::Text(default.clone()),
        Widget::Boolean { default, .. } => NodeValue::Boolean(*default),
        Widget::Combo { options, default, multiselect: false } => {
            NodeValue::Text(default.clone().or_else(|| options.first().cloned())?)
        }
        Widget::None => match input.socket {
            Socket::Int => NodeValue::Int(2),
            Socket::Float => NodeValue::Float(0.5),
            Socket::Boolean => NodeValue::Boolean(true),
            Socket::Text => NodeValue::Text("a tree".into()),
            Socket::Json => NodeValue::Json(serde_json::json!({"a": 1})),
            Socket::Image => NodeValue::Image(picture.clone()),
            _ => return None,
        },
        _ => return None,
    })
}

fn line(returned: &NodeReturned) -> String {
    let feed = |feed: &NodeFeed| match feed {
        NodeFeed::Link(node, slot) => format!("link {node} {slot}"),
        NodeFeed::Values(values) => format!("[{}]", values.iter().map(value).collect::<Vec<_>>().join(", ")),
    };
    let outputs: Vec<String> = returned.outputs.iter().map(feed).collect();
    format!("{} {:?} {}", outputs.join("; "), returned.nodes, returned.ui)
}

fn value(value: &NodeValue) -> String {
    match value {
        NodeValue::Image(image) => format!("{}x{} {}", image.width, image.height, image.digest()),
        NodeValue::Float(f) => format!("{:016x}", f.to_bits()),
        other => format!("{other:?}"),
    }
}

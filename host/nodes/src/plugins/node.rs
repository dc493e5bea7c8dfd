//! Node: the plugin's own inputs and outputs, value by value.

use super::{Job, Wiring};
use crate::types::ImageBatch;
use anyhow::{Context as _, bail};
use engine::Outputs;
use loader::{NodeInputs, NodeValue};
use serde_json::Value as Json;
use spec::{Role, Socket, Value, Values, Widget};

pub(super) const WIRING: Wiring = Wiring { role: Role::Node, before: Vec::new, after: Vec::new, outputs: None, run };

fn run(job: &Job, inputs: Values) -> anyhow::Result<Outputs> {
    let mut given = NodeInputs::new();
    for input in &job.node.settings {
        let values = match (&input.widget, inputs.get(&input.name)) {
            // Names and paths as the host resolved them.
            (Widget::HostList(_), _) => job.settings.config.get(&input.name).map(|v| vec![plain(v)]),
            (_, Some(Value::List(items))) => {
                let items: anyhow::Result<Vec<Vec<NodeValue>>> = items.iter().map(open).collect();
                Some(items.with_context(|| format!("input `{}`", input.name))?.concat())
            }
            (_, Some(value)) => Some(open(value).with_context(|| format!("input `{}`", input.name))?),
            (_, None) => None,
        };
        given.extend(values.map(|v| (input.name.clone(), v)));
    }
    let outputs = job.plugin.run_node(&job.node.spec.id, &given, job.call_with_progress())?;
    let values = job.node.spec.outputs.iter().zip(outputs).map(|(output, values)| {
        let values: anyhow::Result<Vec<Value>> = values.into_iter().map(|v| close(v, &output.socket)).collect();
        let mut values = values.with_context(|| format!("output `{}`", output.name))?;
        if output.is_list {
            return Ok(Value::List(values));
        }
        match values.len() {
            1 => Ok(values.remove(0)),
            n => bail!("output `{}`: expected one value, found {n}", output.name),
        }
    });
    Ok(Outputs { values: values.collect::<anyhow::Result<_>>()?, ..Outputs::default() })
}

fn plain(json: &Json) -> NodeValue {
    match json {
        Json::Null => NodeValue::None,
        Json::Bool(b) => NodeValue::Boolean(*b),
        Json::String(s) => NodeValue::Text(s.clone()),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => NodeValue::Int(i),
            (None, Some(f)) => NodeValue::Float(f),
            (None, None) => NodeValue::Json(json.clone()),
        },
        Json::Array(_) | Json::Object(_) => NodeValue::Json(json.clone()),
    }
}

/// A value of the graph as the plugin sees it. A batch of pictures becomes several values.
fn open(value: &Value) -> anyhow::Result<Vec<NodeValue>> {
    match value {
        Value::Data(json) => Ok(vec![plain(json)]),
        Value::Object(object) => Ok(match object.get::<ImageBatch>() {
            Some(batch) => batch.images().iter().cloned().map(NodeValue::Image).collect(),
            None => vec![NodeValue::Handle(object.clone())],
        }),
        Value::List(_) => bail!("expected a value or a list of values, found a list of lists"),
    }
}

fn close(value: NodeValue, socket: &Socket) -> anyhow::Result<Value> {
    Ok(match value {
        NodeValue::None => Value::Data(Json::Null),
        NodeValue::Int(i) => i.into(),
        NodeValue::Float(f) => f.into(),
        NodeValue::Boolean(b) => b.into(),
        NodeValue::Text(s) => s.into(),
        NodeValue::Json(json) => Value::Data(json),
        NodeValue::Annotation(a) => Value::Data(serde_json::to_value(a)?),
        NodeValue::Image(image) => Value::object(ImageBatch::new(vec![image])),
        NodeValue::Handle(object) if socket.accepts(object.socket()) => Value::Object(object),
        NodeValue::Handle(object) => bail!("expected {}, found {}", socket.name(), object.socket().name()),
        NodeValue::Tensor(_) => bail!("expected {}, found a tensor, which no other node takes", socket.name()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Image, PixelFormat};
    use spec::Object;
    use std::sync::Arc;

    #[test]
    fn a_batch_becomes_single_pictures() {
        let picture = Image::new(1, 1, PixelFormat::L8, vec![7]).unwrap();
        let batch = Value::Object(Object::new(Arc::new(ImageBatch::new(vec![picture; 3]))));
        assert_eq!(open(&batch).unwrap().len(), 3);
        assert!(matches!(open(&Value::from(3u64)).unwrap()[0], NodeValue::Int(3)));
    }

    #[test]
    fn a_plugin_cannot_pass_off_one_object_as_another() {
        let object = Object::new(Arc::new(ImageBatch::new(vec![])));
        let e = close(NodeValue::Handle(object), &Socket::Model).unwrap_err();
        assert_eq!(e.to_string(), "expected MODEL, found IMAGE");
    }
}

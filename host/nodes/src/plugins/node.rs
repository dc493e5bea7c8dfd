//! Node: the plugin's own inputs and outputs, value by value.

use super::{Job, PluginNode, Wiring};
use crate::types::{ImageBatch, Mask};
use anyhow::{Context as _, bail};
use candle_core::{DType, Device, Tensor};
use data::Array;
use engine::{Context, Outputs, RunsEveryTime};
use loader::{CallContext, NewNode, NodeCall, NodeFeed, NodeInputs, NodeValue, NodeVerdict};
use serde_json::Value as Json;
use spec::{Expansion, Feed, Role, Socket, Value, Values, Widget};
use std::collections::BTreeMap;

pub(super) const WIRING: Wiring = Wiring { role: Role::Node, before: Vec::new, after: Vec::new, outputs: None, run };

fn run(job: &Job, inputs: Values) -> anyhow::Result<Outputs> {
    let mut given = open_all(job.node, &inputs)?;
    // Names and paths as the host resolved them.
    for input in job.node.settings.iter().filter(|i| matches!(i.widget, Widget::HostList(_))) {
        given.remove(&input.name);
        given.extend(job.settings.config.get(&input.name).map(|v| (input.name.clone(), vec![plain(v)])));
    }
    let id = &job.node.spec.id;
    let returned = job.plugin.run_node(id, &call(job.ctx, given), job.call_with_progress())?;
    let outputs = &job.node.spec.outputs;
    let feeds = outputs.iter().zip(returned.outputs).map(|(output, feed)| {
        let values = match feed {
            NodeFeed::Link(node, slot) => return Ok(Feed::Link { node, slot }),
            NodeFeed::Values(values) => values,
        };
        let closed = close_all(values, &output.socket, output.is_list);
        let closed = closed.with_context(|| format!("output `{}`", output.name))?;
        match closed {
            Value::List(items) if !output.is_list => {
                bail!("output `{}`: expected one value, found {}", output.name, items.len())
            }
            value => Ok(Feed::Value(value)),
        }
    });
    let feeds: Vec<Feed> = feeds.collect::<anyhow::Result<_>>()?;
    let ui = match returned.ui {
        Json::Object(ui) => ui,
        _ => serde_json::Map::new(),
    };
    if returned.nodes.is_empty() && feeds.iter().all(|f| matches!(f, Feed::Value(_))) {
        let values = feeds.into_iter().filter_map(|f| if let Feed::Value(v) = f { Some(v) } else { None }).collect();
        return Ok(Outputs { values, ui, expand: None });
    }
    let nodes = returned.nodes.into_iter().map(new_node).collect::<anyhow::Result<_>>()?;
    Ok(Outputs { expand: Some(Expansion { nodes, result: feeds }), ui, ..Outputs::default() })
}

fn new_node(node: NewNode) -> anyhow::Result<spec::NewNode> {
    let input = |(name, feed): (String, NodeFeed)| {
        let feed = match feed {
            NodeFeed::Link(node, slot) => Feed::Link { node, slot },
            NodeFeed::Values(values) => Feed::Value(close_all(values, &Socket::Any, false)?),
        };
        Ok((name, feed))
    };
    Ok(spec::NewNode {
        inputs: node.inputs.into_iter().map(input).collect::<anyhow::Result<_>>()?,
        id: node.id,
        class_type: node.class_type,
        display_id: node.display_id,
    })
}

fn call(ctx: &Context, inputs: NodeInputs) -> NodeCall {
    NodeCall { id: ctx.node_id.clone(), prefix: format!("{}.{}.", ctx.node_id, ctx.call_index()), inputs }
}

/// What a plugin's own check says.
pub(super) fn validate(
    node: &PluginNode,
    inputs: &Values,
    types: &BTreeMap<String, String>,
) -> anyhow::Result<Option<engine::Refusal>> {
    let call = NodeCall { inputs: open_all(node, inputs)?, ..NodeCall::default() };
    let types: Vec<(String, String)> = types.iter().map(|(name, kind)| (name.clone(), kind.clone())).collect();
    match node.find()?.validate_node(&node.spec.id, &call, &types, CallContext::default())? {
        NodeVerdict::Accepted => Ok(None),
        NodeVerdict::Refused(reason) => Ok(Some(reason)),
    }
}

/// Which lazy inputs the plugin wants.
pub(super) fn check_lazy(node: &PluginNode, ctx: &Context, inputs: &Values) -> anyhow::Result<Vec<String>> {
    let call = call(ctx, open_all(node, inputs)?);
    Ok(node.find()?.check_lazy(&node.spec.id, &call, CallContext::default())?)
}

/// What the plugin says its result depends on. As in ComfyUI, a plugin that fails to say it runs every time.
pub(super) fn fingerprint(node: &PluginNode, ctx: &Context, inputs: &Values) -> anyhow::Result<String> {
    let call = call(ctx, open_all(node, inputs)?);
    match node.find()?.fingerprint_node(&node.spec.id, &call, CallContext::default()) {
        Ok(Some(text)) => Ok(text),
        Ok(None) => Err(RunsEveryTime.into()),
        Err(error) => {
            tracing::warn!(node = %ctx.node_id, "runs every time, because it could not say what changed: {error}");
            Err(RunsEveryTime.into())
        }
    }
}

fn open_all(node: &PluginNode, inputs: &Values) -> anyhow::Result<NodeInputs> {
    let mut given = NodeInputs::new();
    for (name, value) in inputs {
        let socket = node.settings.iter().find(|i| i.name == *name).map(|i| &i.socket);
        let values = match value {
            Value::List(items) => {
                let items: anyhow::Result<Vec<Vec<NodeValue>>> = items.iter().map(|v| open(v, socket)).collect();
                items.map(|i| i.concat())
            }
            one => open(one, socket),
        };
        given.insert(name.clone(), values.with_context(|| format!("input `{name}`"))?);
    }
    Ok(given)
}

fn plain(json: &Json) -> NodeValue {
    match json {
        Json::Null => NodeValue::None,
        Json::Bool(b) => NodeValue::Boolean(*b),
        Json::String(s) => NodeValue::Text(s.clone()),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => NodeValue::Int(i),
            (None, Some(f)) if !n.is_u64() => NodeValue::Float(f),
            // The upper half of the seeds.
            (None, _) => NodeValue::Json(json.clone()),
        },
        Json::Array(_) | Json::Object(_) => NodeValue::Json(json.clone()),
    }
}

/// A value of the graph as the plugin sees it. Where it declares a picture, a batch becomes several values, and a mask a
/// tensor; what it takes of any type it gets unopened.
fn open(value: &Value, socket: Option<&Socket>) -> anyhow::Result<Vec<NodeValue>> {
    match value {
        Value::Data(json) => Ok(vec![plain(json)]),
        Value::Object(object) => {
            if let Some(blocker) = value.as_blocker() {
                return Ok(vec![NodeValue::Blocker(blocker.0.clone())]);
            }
            if socket == Some(&Socket::Any) {
                return Ok(vec![NodeValue::Handle(object.clone())]);
            }
            if let Some(batch) = object.get::<ImageBatch>() {
                return Ok(batch.images().iter().cloned().map(NodeValue::Image).collect());
            }
            if let Some(mask) = object.get::<Mask>() {
                let values = mask.0.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                let array = Array::from_f32(mask.0.dims().to_vec(), values).map_err(anyhow::Error::msg)?;
                return Ok(vec![NodeValue::Tensor(array)]);
            }
            Ok(vec![NodeValue::Handle(object.clone())])
        }
        Value::List(_) => bail!("expected a value or a list of values, found a list of lists"),
    }
}

/// Several pictures where one value is wanted are one batch. A blocker blocks a whole list.
fn close_all(values: Vec<NodeValue>, socket: &Socket, is_list: bool) -> anyhow::Result<Value> {
    if !is_list && values.len() > 1 && values.iter().all(|v| matches!(v, NodeValue::Image(_))) {
        let images = values.into_iter().filter_map(|v| if let NodeValue::Image(i) = v { Some(i) } else { None });
        return Ok(Value::object(ImageBatch::new(images.collect())));
    }
    let mut values = values.into_iter().map(|v| close(v, socket)).collect::<anyhow::Result<Vec<_>>>()?;
    let single = values.len() == 1 && (!is_list || values[0].as_blocker().is_some());
    Ok(if single { values.remove(0) } else { Value::List(values) })
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
        NodeValue::Blocker(message) => Value::blocker(message),
        NodeValue::Tensor(array) if matches!(socket, Socket::Mask | Socket::Any) => Value::object(mask(&array)?),
        NodeValue::Tensor(_) => bail!("expected {}, found a tensor, which only a MASK can be", socket.name()),
    })
}

/// (h, w) or (b, h, w)
fn mask(array: &Array) -> anyhow::Result<Mask> {
    let shape = match array.shape[..] {
        [h, w] => (1, h, w),
        [b, h, w] => (b, h, w),
        _ => bail!("expected a mask of (b, h, w), found a tensor of {:?}", array.shape),
    };
    Ok(Mask(Tensor::from_vec(array.to_f32().to_vec(), shape, &Device::Cpu)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::{Image, PixelFormat};
    use spec::Object;
    use std::sync::Arc;

    #[test]
    fn a_batch_becomes_single_pictures_where_pictures_are_declared() {
        let picture = Image::new(1, 1, PixelFormat::L8, vec![7]).unwrap();
        let batch = Value::Object(Object::new(Arc::new(ImageBatch::new(vec![picture; 3]))));
        assert_eq!(open(&batch, Some(&Socket::Image)).unwrap().len(), 3);
        assert_eq!(open(&batch, None).unwrap().len(), 3);
        assert!(matches!(open(&batch, Some(&Socket::Any)).unwrap()[..], [NodeValue::Handle(_)]));
        assert!(matches!(open(&Value::from(3u64), None).unwrap()[0], NodeValue::Int(3)));
    }

    #[test]
    fn masks_are_tensors_for_plugins() {
        let mask = Value::object(Mask(Tensor::full(0.5_f32, (1, 2, 3), &Device::Cpu).unwrap()));
        let NodeValue::Tensor(array) = open(&mask, Some(&Socket::Mask)).unwrap().remove(0) else { panic!() };
        assert_eq!(array.shape, [1, 2, 3]);
        let back = close(NodeValue::Tensor(array), &Socket::Mask).unwrap().as_object::<Mask>().unwrap();
        assert_eq!(back.0.dims(), [1, 2, 3]);
        let flat = Array::from_f32(vec![2], vec![0.0; 2]).unwrap();
        assert!(close(NodeValue::Tensor(flat), &Socket::Mask).is_err());
    }

    #[test]
    fn the_largest_seeds_stay_exact() {
        let seed = plain(&serde_json::json!(u64::MAX));
        assert!(matches!(close(seed, &Socket::Int).unwrap(), Value::Data(v) if v == serde_json::json!(u64::MAX)));
    }

    #[test]
    fn a_plugin_cannot_pass_off_one_object_as_another() {
        let object = Object::new(Arc::new(ImageBatch::new(vec![])));
        let e = close(NodeValue::Handle(object), &Socket::Model).unwrap_err();
        assert_eq!(e.to_string(), "expected MODEL, found IMAGE");
    }
}

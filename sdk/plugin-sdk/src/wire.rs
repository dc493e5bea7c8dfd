//! Values and graphs as they cross the boundary: the WIT's records, with handles as numbers.

#[cfg(not(target_family = "wasm"))]
use crate::place::Place;
use crate::spec::{Blocker, Expansion, Feed, NewNode};
use crate::{Annotation, Error, Handle, Image, ObjectType, Output, Result, Returned, Socket, Tensor, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::sync::Arc;

/// The WIT `value`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wire {
    None,
    Int(i64),
    Float(f64),
    Boolean(bool),
    Text(String),
    Json(String),
    Image(u64),
    Tensor(u64),
    Annotation(Annotation),
    Handle(u64),
    Blocker(Option<String>),
}

/// The WIT `inputs`.
pub(crate) type WireInputs = Vec<(String, Vec<Wire>)>;

/// The WIT `feed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WireFeed {
    Values(Vec<Wire>),
    Link(String, u32),
}

/// The WIT `new-node`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct WireNode {
    pub(crate) id: String,
    pub(crate) class_type: String,
    pub(crate) inputs: Vec<(String, WireFeed)>,
    #[serde(default)]
    pub(crate) display_id: Option<String>,
}

/// The WIT `returned`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct WireReturned {
    pub(crate) outputs: Vec<WireFeed>,
    pub(crate) nodes: Vec<WireNode>,
    pub(crate) ui: Option<String>,
}

/// All that one call of a node may ask; the C table's `call` gets it as JSON.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireCall {
    pub(crate) node: String,
    #[serde(default)]
    pub(crate) place: Place,
    pub(crate) inputs: WireInputs,
    #[serde(default)]
    pub(crate) types: Vec<(String, String)>,
}

/// Takes over the handles at once, so that they are given back whatever fails.
pub(crate) fn values_in(inputs: WireInputs) -> Result<Vec<(String, Vec<Value>)>> {
    let one = |(name, wires): (String, Vec<Wire>)| Ok((name, wires.into_iter().map(value).collect::<Result<_>>()?));
    let all: Vec<Result<_>> = inputs.into_iter().map(one).collect();
    all.into_iter().collect()
}

fn value(wire: Wire) -> Result<Value> {
    Ok(match wire {
        Wire::None => Value::Data(Json::Null),
        Wire::Int(v) => v.into(),
        Wire::Float(v) => v.into(),
        Wire::Boolean(v) => v.into(),
        Wire::Text(v) => v.into(),
        Wire::Json(v) => Value::Data(serde_json::from_str(&v)?),
        Wire::Image(h) => Value::object(Image::from_raw(h)),
        Wire::Tensor(h) => Value::object(Tensor::from_raw(h)),
        Wire::Annotation(a) => Value::Data(serde_json::to_value(a)?),
        Wire::Handle(h) => Value::object(Handle::from_raw(h)),
        Wire::Blocker(message) => Value::blocker(message),
    })
}

/// What a node returned, checked against its outputs.
pub(crate) fn returned_out(id: &str, outputs: &[Output], returned: Returned) -> Result<WireReturned> {
    let ui = (!returned.ui.is_empty()).then(|| Json::Object(returned.ui).to_string());
    let (feeds, nodes) = match returned.expand {
        Some(Expansion { nodes, result }) => (result, nodes),
        None => (returned.values.into_iter().map(Feed::Value).collect(), Vec::new()),
    };
    if feeds.len() != outputs.len() {
        let message = format!("node `{id}`: expected {} outputs, found {}", outputs.len(), feeds.len());
        return Err(Error::internal(message));
    }
    let one = |(value, output): (Feed, &Output)| feed(value, &output.name, output.socket == Socket::Float, output);
    let outputs = feeds.into_iter().zip(outputs).map(one).collect::<Result<_>>()?;
    Ok(WireReturned { outputs, nodes: nodes.into_iter().map(new_node).collect::<Result<_>>()?, ui })
}

fn new_node(node: NewNode) -> Result<WireNode> {
    let any = Output { name: node.class_type.clone(), socket: Socket::Any, is_list: false, tooltip: None };
    let input = |(name, value): (String, Feed)| Ok((name.clone(), feed(value, &name, false, &any)?));
    Ok(WireNode {
        id: node.id,
        class_type: node.class_type,
        inputs: node.inputs.into_iter().map(input).collect::<Result<_>>()?,
        display_id: node.display_id,
    })
}

fn feed(feed: Feed, name: &str, float: bool, output: &Output) -> Result<WireFeed> {
    Ok(match feed {
        Feed::Link { node, slot } => WireFeed::Link(node, u32::try_from(slot).unwrap_or(u32::MAX)),
        Feed::Value(Value::List(items)) => {
            WireFeed::Values(items.into_iter().map(|v| wire(v, name, float, output)).collect::<Result<_>>()?)
        }
        Feed::Value(single) => WireFeed::Values(vec![wire(single, name, float, output)?]),
    })
}

fn wire(value: Value, name: &str, float: bool, output: &Output) -> Result<Wire> {
    Ok(match value {
        Value::Data(Json::Null) => Wire::None,
        Value::Data(Json::Bool(v)) => Wire::Boolean(v),
        Value::Data(Json::Number(v)) => match v.as_i64() {
            Some(v) if !float => Wire::Int(v),
            // The upper half of the seeds.
            None if v.is_u64() => Wire::Json(v.to_string()),
            _ => Wire::Float(v.as_f64().unwrap_or_default()),
        },
        Value::Data(Json::String(v)) => Wire::Text(v),
        Value::Data(v) if output.socket == Socket::Annotations => Wire::Annotation(serde_json::from_value(v)?),
        Value::Data(v) => Wire::Json(v.to_string()),
        Value::Object(o) => {
            // The object may have other owners: the host gets a handle of its own.
            if let Some(image) = o.get::<Image>() {
                Wire::Image(owned(image, Image::share)?.into_raw())
            } else if let Some(tensor) = o.get::<Tensor>() {
                Wire::Tensor(owned(tensor, Tensor::share)?.into_raw())
            } else if let Some(handle) = o.get::<Handle>() {
                Wire::Handle(owned(handle, Handle::share)?.into_raw())
            } else if let Some(blocker) = o.get::<Blocker>() {
                Wire::Blocker(blocker.0.clone())
            } else {
                return Err(Error::internal(format!("`{name}`: this object cannot leave the plugin")));
            }
        }
        Value::List(_) => return Err(Error::internal(format!("`{name}`: a list within a list"))),
    })
}

fn owned<T: ObjectType>(object: Arc<T>, share: impl Fn(&T) -> Result<T>) -> Result<T> {
    // The value that held the object is gone, so the plugin's last handle moves out.
    Arc::try_unwrap(object).or_else(|shared| share(&shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn wires_are_the_json_of_the_wit() {
        let wires = vec![
            Wire::None,
            Wire::Int(3),
            Wire::Image(7),
            Wire::Annotation(Annotation::default()),
            Wire::Blocker(None),
        ];
        let json = json!(["none", {"int": 3}, {"image": 7}, {"annotation": {"tags": []}}, {"blocker": null}]);
        assert_eq!(serde_json::to_value(&wires).unwrap(), json);
        assert_eq!(serde_json::from_value::<Vec<Wire>>(json).unwrap(), wires);
        let feeds = vec![WireFeed::Values(vec![Wire::Int(1)]), WireFeed::Link("7".into(), 0)];
        assert_eq!(serde_json::to_value(&feeds).unwrap(), json!([{"values": [{"int": 1}]}, {"link": ["7", 0]}]));
    }

    #[test]
    fn the_largest_seeds_stay_exact() {
        let output = Output { name: "seed".into(), socket: Socket::Int, is_list: false, tooltip: None };
        let out = wire(Value::Data(json!(u64::MAX)), "seed", false, &output).unwrap();
        assert_eq!(out, Wire::Json(u64::MAX.to_string()));
        assert!(matches!(value(out).unwrap(), Value::Data(v) if v == json!(u64::MAX)));
    }
}

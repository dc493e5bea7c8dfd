//! Any other node: values in, values out, no state between calls.

use crate::{
    Annotation, Error, Handle, Image, Info, Input, Inputs, ObjectType, Output, Part, Result, Role, Socket, Tensor,
    Value, Values, spec,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A plugin's own node.
///
/// A field of type `Arc<Image>`, `Arc<Tensor>` or `Arc<Handle>` is a socket for these; numbers, texts, booleans and
/// `serde_json::Value` have widgets or sockets as for built-in nodes; a `Vec` takes the whole list.
///
/// ```
/// use plugin_sdk::{Image, Info, Inputs, Node, Output, PixelFormat, Result, Socket, Value, info};
/// use std::sync::Arc;
///
/// /// Turns light into dark.
/// #[derive(Inputs)]
/// struct Invert {
///     /// The picture.
///     image: Arc<Image>,
/// }
///
/// struct InvertNode;
///
/// impl Node for InvertNode {
///     type Inputs = Invert;
///     const INFO: Info = info!("example.Invert", "Invert");
///
///     fn outputs() -> Vec<Output> {
///         vec![Output { name: "image".into(), socket: Socket::Image, is_list: false, tooltip: None }]
///     }
///
///     fn run(inputs: Invert) -> Result<Vec<Value>> {
///         let mut pixels = inputs.image.read(PixelFormat::Rgb8)?;
///         pixels.iter_mut().for_each(|p| *p = 255 - *p);
///         let (width, height) = (inputs.image.width(), inputs.image.height());
///         Ok(vec![Value::object(Image::from_pixels(width, height, PixelFormat::Rgb8, &pixels)?)])
///     }
/// }
/// ```
pub trait Node: Sized + 'static {
    /// What goes in.
    type Inputs: Inputs;
    /// Usually [`info!`](crate::info).
    const INFO: Info;

    /// What comes out, in order.
    fn outputs() -> Vec<Output>;

    /// One value per output; [`Value::List`] for an output that is a list.
    ///
    /// # Errors
    /// The node fails, and with it what depends on it.
    fn run(inputs: Self::Inputs) -> Result<Vec<Value>>;
}

/// A value as it crosses the boundary: the WIT `value`, with handles as numbers.
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
}

/// A node type without its type.
pub struct NodePart {
    id: &'static str,
    inputs: fn() -> Vec<Input>,
    outputs: fn() -> Vec<Output>,
    run: fn(Values) -> Result<Vec<Value>>,
}

impl NodePart {
    pub fn of<T: Node>() -> Self {
        fn run<T: Node>(values: Values) -> Result<Vec<Value>> {
            let inputs = T::Inputs::from_values(values).map_err(|problems| {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                Error::invalid_input(format!("inputs: {}", problems.join("; ")))
            })?;
            T::run(inputs)
        }
        Self { id: T::INFO.id, inputs: T::Inputs::inputs, outputs: T::outputs, run: run::<T> }
    }
}

/// How a node describes itself.
pub fn node_part<T: Node>() -> Part {
    Part {
        info: T::INFO,
        role: Role::Node,
        doc: T::Inputs::description(),
        inputs: T::Inputs::inputs(),
        outputs: T::outputs(),
        behaviour: spec::Behaviour::default(),
        output_node: false,
    }
}

/// Runs the node with this id.
pub(crate) fn run_wired(nodes: &[NodePart], id: &str, inputs: Vec<(String, Vec<Wire>)>) -> Result<Vec<Vec<Wire>>> {
    // Values take over the handles first, so that they are given back whatever fails.
    let inputs = inputs.into_iter().map(|(name, wires)| {
        let values = wires.into_iter().map(value).collect::<Result<Vec<_>>>();
        values.map(|v| (name, v))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let Some(node) = nodes.iter().find(|n| n.id == id) else {
        let known: Vec<_> = nodes.iter().map(|n| n.id).collect();
        return Err(Error::not_found(format!("no node `{id}`; known are {}", known.join(", "))));
    };
    let lists: Vec<String> = (node.inputs)().into_iter().filter(|i| i.is_list).map(|i| i.name).collect();
    let mut values = Values::new();
    for (name, mut list) in inputs {
        let value = match list.len() {
            _ if lists.contains(&name) => Value::List(list),
            1 => list.remove(0),
            n => return Err(Error::invalid_input(format!("input `{name}`: expected one value, found {n}"))),
        };
        values.insert(name, value);
    }
    run_node(node, values)
}

/// Runs a node on values, and checks what comes out.
pub(crate) fn run_node(node: &NodePart, values: Values) -> Result<Vec<Vec<Wire>>> {
    let outputs = (node.outputs)();
    let results = (node.run)(values)?;
    if results.len() != outputs.len() {
        let message = format!("node `{}`: expected {} outputs, found {}", node.id, outputs.len(), results.len());
        return Err(Error::internal(message));
    }
    let one = |(value, output): (Value, &Output)| match value {
        Value::List(items) => items.into_iter().map(|v| wire(v, output)).collect(),
        single => Ok(vec![wire(single, output)?]),
    };
    results.into_iter().zip(&outputs).map(one).collect()
}

fn value(wire: Wire) -> Result<Value> {
    Ok(match wire {
        Wire::None => Value::Data(serde_json::Value::Null),
        Wire::Int(v) => v.into(),
        Wire::Float(v) => v.into(),
        Wire::Boolean(v) => v.into(),
        Wire::Text(v) => v.into(),
        Wire::Json(v) => Value::Data(serde_json::from_str(&v)?),
        Wire::Image(h) => Value::object(Image::from_raw(h)),
        Wire::Tensor(h) => Value::object(Tensor::from_raw(h)),
        Wire::Annotation(a) => Value::Data(serde_json::to_value(a)?),
        Wire::Handle(h) => Value::object(Handle::from_raw(h)),
    })
}

fn wire(value: Value, output: &Output) -> Result<Wire> {
    use serde_json::Value as Json;
    Ok(match value {
        Value::Data(Json::Null) => Wire::None,
        Value::Data(Json::Bool(v)) => Wire::Boolean(v),
        Value::Data(Json::Number(v)) => match v.as_i64() {
            Some(v) if output.socket != Socket::Float => Wire::Int(v),
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
            } else {
                return Err(Error::internal(format!("output `{}`: this object cannot leave the plugin", output.name)));
            }
        }
        Value::List(_) => return Err(Error::internal(format!("output `{}`: a list within a list", output.name))),
    })
}

fn owned<T: ObjectType>(object: Arc<T>, share: impl Fn(&T) -> Result<T>) -> Result<T> {
    Arc::try_unwrap(object).or_else(|shared| share(&shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Adds.
    #[derive(Inputs)]
    struct Add {
        a: i64,
        #[input(default = 10)]
        b: i64,
        more: Option<Vec<i64>>,
    }

    impl Node for Add {
        type Inputs = Self;
        const INFO: Info = crate::info!("example.Add", "Add");

        fn outputs() -> Vec<Output> {
            let output =
                |name: &str, is_list| Output { name: name.into(), socket: Socket::Int, is_list, tooltip: None };
            vec![output("sum", false), output("all", true)]
        }

        fn run(inputs: Self) -> Result<Vec<Value>> {
            let more = inputs.more.unwrap_or_default();
            let sum = inputs.a + inputs.b + more.iter().sum::<i64>();
            Ok(vec![sum.into(), Value::List(more.into_iter().map(Value::from).collect())])
        }
    }

    #[test]
    fn runs_on_wires_with_defaults_and_lists() {
        let nodes = [NodePart::of::<Add>()];
        let inputs = vec![("a".to_owned(), vec![Wire::Int(1)]), ("more".to_owned(), vec![Wire::Int(2), Wire::Int(3)])];
        let out = run_wired(&nodes, "example.Add", inputs).unwrap();
        assert_eq!(out, [vec![Wire::Int(16)], vec![Wire::Int(2), Wire::Int(3)]]);
    }

    #[test]
    fn wrong_inputs_and_unknown_nodes_are_named() {
        let nodes = [NodePart::of::<Add>()];
        let e = run_wired(&nodes, "example.Sub", Vec::new()).unwrap_err();
        assert_eq!(e.message, "no node `example.Sub`; known are example.Add");
        let two = vec![("a".to_owned(), vec![Wire::Int(1), Wire::Int(2)])];
        assert_eq!(
            run_wired(&nodes, "example.Add", two).unwrap_err().message,
            "input `a`: expected one value, found 2"
        );
        let text = vec![("a".to_owned(), vec![Wire::Text("x".into())])];
        assert_eq!(
            run_wired(&nodes, "example.Add", text).unwrap_err().message,
            "inputs: `a`: expected INT, found \"x\""
        );
    }

    #[test]
    fn wires_are_the_json_of_the_wit() {
        let wires = vec![Wire::None, Wire::Int(3), Wire::Image(7), Wire::Annotation(Annotation::default())];
        let json = json!(["none", {"int": 3}, {"image": 7}, {"annotation": {"tags": []}}]);
        assert_eq!(serde_json::to_value(&wires).unwrap(), json);
        assert_eq!(serde_json::from_value::<Vec<Wire>>(json).unwrap(), wires);
    }
}

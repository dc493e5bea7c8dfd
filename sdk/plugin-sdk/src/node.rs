//! Any other node: values in, values out, no state between calls.

use crate::place::{Place, within};
use crate::spec::{Behaviour, Expansion};
use crate::wire::{WireInputs, WireReturned, returned_out, values_in};
use crate::{Error, Image, Info, Input, Inputs, Output, Part, Result, Role, Value, Values};
use serde_json::{Map, Value as Json};

/// A plugin's own node.
///
/// A field of type `Arc<Image>`, `Arc<Tensor>` or `Arc<Handle>` is a socket for these; numbers, texts, booleans and
/// `serde_json::Value` have widgets or sockets as for built-in nodes; a `Vec` takes the whole list.
///
/// ```
/// use plugin_sdk::{Image, Info, Inputs, Node, Output, PixelFormat, Result, Returned, Socket, Value, info};
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
///     fn run(inputs: Invert) -> Result<Returned> {
///         let mut pixels = inputs.image.read(PixelFormat::Rgb8)?;
///         pixels.iter_mut().for_each(|p| *p = 255 - *p);
///         let (width, height) = (inputs.image.width(), inputs.image.height());
///         Ok(vec![Value::object(Image::from_pixels(width, height, PixelFormat::Rgb8, &pixels)?)].into())
///     }
/// }
/// ```
///
/// A node may also return a graph that stands in for it:
///
/// ```
/// # use plugin_sdk::{Info, Inputs, Node, Output, Result, Returned, Socket, info};
/// use plugin_sdk::place;
/// use plugin_sdk::spec::Feed;
///
/// /// Inverts twice.
/// #[derive(Inputs)]
/// struct Twice {
///     times: u32,
/// }
/// impl Node for Twice {
///     type Inputs = Self;
///     const INFO: Info = info!("example.Twice", "Twice");
///
///     fn outputs() -> Vec<Output> {
///         vec![Output { name: "n".into(), socket: Socket::Int, is_list: false, tooltip: None }]
///     }
///
///     fn run(inputs: Self) -> Result<Returned> {
///         let mut graph = place::graph();
///         let once = graph.node("example.Once", [("n", Feed::from(inputs.times))]);
///         let twice = graph.node("example.Once", [("n", Feed::link(once, 0))]);
///         Ok(graph.finish([Feed::link(twice, 0)]).into())
///     }
/// }
/// ```
pub trait Node: Sized + 'static {
    /// What goes in.
    type Inputs: Inputs;
    /// Usually [`info!`](crate::info).
    const INFO: Info;
    /// Does it run because somebody wants its effect?
    const OUTPUT_NODE: bool = false;

    /// What comes out, in order.
    fn outputs() -> Vec<Output>;

    /// What the node asks of the engine besides values: whole lists, undeclared inputs, its id …
    fn behaviour() -> Behaviour {
        Behaviour::default()
    }

    /// One value per output; [`Value::List`] for an output that is a list. Values that no field takes are in
    /// [`place::more`](crate::place::more).
    ///
    /// # Errors
    /// The node fails, and with it what depends on it.
    fn run(inputs: Self::Inputs) -> Result<Returned>;

    /// Which lazy inputs the call needs; asked again once they are there. What is not computed is null. Fields of lazy
    /// inputs are options, since what nobody asked for stays away.
    ///
    /// # Errors
    /// The node fails.
    fn check_lazy(inputs: &Values) -> Result<Vec<String>> {
        let linked = |i: &Input| i.lazy && inputs.contains_key(&i.name);
        Ok(Self::Inputs::inputs().into_iter().filter(linked).map(|i| i.name).collect())
    }

    /// Checks inputs before anything runs, if [`Behaviour::validates`] says so: constants, and null for what is linked.
    /// `types` are those of the linked outputs, by input.
    ///
    /// # Errors
    /// When the check itself fails.
    fn validate(inputs: &Values, types: &[(String, String)]) -> Result<Judgement> {
        let _ = (inputs, types);
        Ok(Judgement::Accepted)
    }

    /// What the result depends on besides its inputs, if [`Behaviour::fingerprints`] says so; none: the node runs every
    /// time. Sees constants, and null for what is linked.
    ///
    /// # Errors
    /// The node runs every time.
    fn fingerprint(inputs: &Values) -> Result<Option<String>> {
        let _ = inputs;
        Ok(Some(String::new()))
    }
}

/// What a node gives: values, or a graph that stands in for it, and something to show.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// One per output.
    pub values: Vec<Value>,
    /// In place of `values`.
    pub expand: Option<Expansion>,
    /// For front ends: lists by name.
    pub ui: Map<String, Json>,
}

impl From<Vec<Value>> for Returned {
    fn from(values: Vec<Value>) -> Self {
        Self { values, ..Self::default() }
    }
}

impl From<Expansion> for Returned {
    fn from(expansion: Expansion) -> Self {
        Self { expand: Some(expansion), ..Self::default() }
    }
}

/// Does a node accept its inputs?
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    Accepted,
    /// No, with a reason.
    Refused(Option<String>),
}

/// [`Node::validate`].
type Validate = fn(&Values, &[(String, String)]) -> Result<Judgement>;

/// A node type without its type.
pub struct NodePart {
    pub(crate) id: &'static str,
    inputs: fn() -> Vec<Input>,
    pub(crate) outputs: fn() -> Vec<Output>,
    behaviour: fn() -> Behaviour,
    run: fn(Values) -> Result<Returned>,
    check_lazy: fn(&Values) -> Result<Vec<String>>,
    validate: Validate,
    fingerprint: fn(&Values) -> Result<Option<String>>,
}

impl NodePart {
    pub fn of<T: Node>() -> Self {
        fn run<T: Node>(values: Values) -> Result<Returned> {
            let inputs = T::Inputs::from_values(values).map_err(|problems| {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                Error::invalid_input(format!("inputs: {}", problems.join("; ")))
            })?;
            T::run(inputs)
        }
        Self {
            id: T::INFO.id,
            inputs: T::Inputs::inputs,
            outputs: T::outputs,
            behaviour: T::behaviour,
            run: run::<T>,
            check_lazy: T::check_lazy,
            validate: T::validate,
            fingerprint: T::fingerprint,
        }
    }

    /// Lists stay lists where the node takes them; elsewhere there is one value. What is not declared comes apart.
    fn sort(&self, inputs: WireInputs) -> Result<(Values, Values)> {
        let (declared, behaviour) = ((self.inputs)(), (self.behaviour)());
        let (mut values, mut more) = (Values::new(), Values::new());
        for (name, mut list) in values_in(inputs)? {
            let input = declared.iter().find(|i| i.name == name);
            let value = match list.len() {
                _ if behaviour.takes_lists || input.is_some_and(|i| i.is_list) => Value::List(list),
                1 => list.remove(0),
                _ if input.is_none() => Value::List(list),
                // The pictures of a batch.
                n if n > 1 && list.iter().all(|v| v.as_object::<Image>().is_some()) => Value::List(list),
                n => return Err(Error::invalid_input(format!("input `{name}`: expected one value, found {n}"))),
            };
            if input.is_some() { &mut values } else { &mut more }.insert(name, value);
        }
        Ok((values, more))
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
        behaviour: T::behaviour(),
        output_node: T::OUTPUT_NODE,
    }
}

fn find<'n>(nodes: &'n [NodePart], id: &str) -> Result<&'n NodePart> {
    nodes.iter().find(|n| n.id == id).ok_or_else(|| {
        let known: Vec<_> = nodes.iter().map(|n| n.id).collect();
        Error::not_found(format!("no node `{id}`; known are {}", known.join(", ")))
    })
}

/// Runs the node with this id.
pub(crate) fn run_wired(nodes: &[NodePart], id: &str, place: Place, inputs: WireInputs) -> Result<WireReturned> {
    let node = find(nodes, id)?;
    let (values, more) = node.sort(inputs)?;
    run_node(node, place, values, more)
}

/// Runs a node on values, and checks what comes out.
pub(crate) fn run_node(node: &NodePart, place: Place, values: Values, more: Values) -> Result<WireReturned> {
    let returned = within(place, more, || (node.run)(values))?;
    returned_out(node.id, &(node.outputs)(), returned)
}

/// Asks the node with this id for its lazy inputs.
pub(crate) fn lazy_wired(nodes: &[NodePart], id: &str, place: Place, inputs: WireInputs) -> Result<Vec<String>> {
    let node = find(nodes, id)?;
    let (values, more) = node.sort(inputs)?;
    within(place, more, || (node.check_lazy)(&values))
}

/// Lets the node with this id check its inputs.
pub(crate) fn validate_wired(
    nodes: &[NodePart],
    id: &str,
    inputs: WireInputs,
    types: &[(String, String)],
) -> Result<Judgement> {
    let node = find(nodes, id)?;
    let (mut values, mut more) = node.sort(inputs)?;
    values.append(&mut more);
    (node.validate)(&values, types)
}

/// Asks the node with this id whether its result would differ.
pub(crate) fn fingerprint_wired(
    nodes: &[NodePart],
    id: &str,
    place: Place,
    inputs: WireInputs,
) -> Result<Option<String>> {
    let node = find(nodes, id)?;
    let (mut values, mut more) = node.sort(inputs)?;
    values.append(&mut more);
    within(place, Values::new(), || (node.fingerprint)(&values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Feed;
    use crate::wire::{Wire, WireFeed};
    use crate::{Socket, place};

    /// Adds.
    #[derive(Inputs)]
    struct Add {
        a: i64,
        #[input(default = 10)]
        b: i64,
        more: Option<Vec<i64>>,
    }

    fn output(name: &str, is_list: bool) -> Output {
        Output { name: name.into(), socket: Socket::Int, is_list, tooltip: None }
    }

    impl Node for Add {
        type Inputs = Self;
        const INFO: Info = crate::info!("example.Add", "Add");

        fn outputs() -> Vec<Output> {
            vec![output("sum", false), output("all", true)]
        }

        fn run(inputs: Self) -> Result<Returned> {
            let more = inputs.more.unwrap_or_default();
            let sum = inputs.a + inputs.b + more.iter().sum::<i64>();
            Ok(vec![sum.into(), Value::List(more.into_iter().map(Value::from).collect())].into())
        }
    }

    /// Becomes `example.Add`, or blocks.
    #[derive(Inputs)]
    struct Grow {
        #[input(lazy)]
        a: Option<i64>,
    }

    impl Node for Grow {
        type Inputs = Self;
        const INFO: Info = crate::info!("example.Grow", "Grow");

        fn outputs() -> Vec<Output> {
            vec![output("sum", false)]
        }

        fn behaviour() -> Behaviour {
            Behaviour { variadic: true, ..Behaviour::default() }
        }

        fn run(inputs: Self) -> Result<Returned> {
            let Some(a) = inputs.a else { return Ok(vec![Value::blocker(Some("no a".into()))].into()) };
            let mut graph = place::graph();
            let b = place::more().remove("b").unwrap_or(Value::from(0));
            let add = graph.node("example.Add", [("a", Feed::from(a)), ("b", Feed::from(b))]);
            graph.show_as(&add, "elsewhere");
            Ok(graph.finish([Feed::link(add, 0)]).into())
        }

        fn validate(inputs: &Values, types: &[(String, String)]) -> Result<Judgement> {
            let reason = format!("{} inputs, {} types", inputs.len(), types.len());
            Ok(Judgement::Refused(Some(reason)))
        }

        fn fingerprint(inputs: &Values) -> Result<Option<String>> {
            Ok(inputs.get("b").map(Value::describe))
        }
    }

    fn int(name: &str, value: i64) -> (String, Vec<Wire>) {
        (name.to_owned(), vec![Wire::Int(value)])
    }

    #[test]
    fn runs_on_wires_with_defaults_and_lists() {
        let nodes = [NodePart::of::<Add>()];
        let inputs = vec![int("a", 1), ("more".to_owned(), vec![Wire::Int(2), Wire::Int(3)])];
        let out = run_wired(&nodes, "example.Add", Place::default(), inputs).unwrap();
        let values = |ints: &[i64]| WireFeed::Values(ints.iter().map(|i| Wire::Int(*i)).collect());
        assert_eq!(out.outputs, [values(&[16]), values(&[2, 3])]);
        assert!(out.nodes.is_empty());
    }

    #[test]
    fn nodes_expand_and_block_and_see_what_they_did_not_declare() {
        let nodes = [NodePart::of::<Grow>()];
        let place = Place { id: "7".into(), prefix: "7.0.".into() };
        let out = run_wired(&nodes, "example.Grow", place, vec![int("a", 1), int("b", 2)]).unwrap();
        assert_eq!(out.outputs, [WireFeed::Link("7.0.0.1".into(), 0)]);
        assert_eq!(out.nodes[0].inputs[1], ("b".into(), WireFeed::Values(vec![Wire::Int(2)])));
        assert_eq!(out.nodes[0].display_id.as_deref(), Some("elsewhere"));
        let out = run_wired(&nodes, "example.Grow", Place::default(), Vec::new()).unwrap();
        assert_eq!(out.outputs, [WireFeed::Values(vec![Wire::Blocker(Some("no a".into()))])]);
    }

    #[test]
    fn lazy_inputs_checks_and_fingerprints_are_asked_for() {
        let nodes = [NodePart::of::<Grow>()];
        let inputs = || vec![("a".to_owned(), vec![Wire::None]), int("b", 2)];
        let id = "example.Grow";
        assert_eq!(lazy_wired(&nodes, id, Place::default(), inputs()).unwrap(), ["a"]);
        let types = [("a".to_owned(), "INT".to_owned())];
        let verdict = validate_wired(&nodes, id, inputs(), &types).unwrap();
        assert_eq!(verdict, Judgement::Refused(Some("2 inputs, 1 types".into())));
        assert_eq!(fingerprint_wired(&nodes, id, Place::default(), inputs()).unwrap().as_deref(), Some("2"));
        assert_eq!(fingerprint_wired(&nodes, id, Place::default(), Vec::new()).unwrap(), None);
    }

    #[test]
    fn wrong_inputs_and_unknown_nodes_are_named() {
        let nodes = [NodePart::of::<Add>()];
        let run = |id: &str, inputs| run_wired(&nodes, id, Place::default(), inputs).unwrap_err().message;
        assert_eq!(run("example.Sub", Vec::new()), "no node `example.Sub`; known are example.Add");
        let two = vec![("a".to_owned(), vec![Wire::Int(1), Wire::Int(2)])];
        assert_eq!(run("example.Add", two), "input `a`: expected one value, found 2");
        let text = vec![("a".to_owned(), vec![Wire::Text("x".into())])];
        assert_eq!(run("example.Add", text), "inputs: `a`: expected INT, found \"x\"");
    }
}

//! Loops by expansion, and blockers.

use crate::nodes;
use crate::values::{null, one, out, plain};
use plugin_sdk::serde_json::Value as Json;
use plugin_sdk::spec::{Behaviour, Feed, Hidden};
use plugin_sdk::{Error, FromValue, Handle, Inputs, Result, Returned, Socket, Value, place};
use std::collections::{BTreeMap, BTreeSet};

/// How many values a loop carries.
const SOCKETS: usize = 5;

/// A link to where a loop begins, as `["id", slot]`.
pub(crate) struct Flow(Json);

impl FromValue for Flow {
    fn socket() -> Socket {
        Socket::from_name("FLOW_CONTROL")
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        Json::from_value(value).map(Self)
    }
}

/// The start of a loop.
#[derive(Inputs)]
pub(crate) struct WhileOpen {
    #[input(default = true, required)]
    condition: bool,
    initial_value0: Option<Value>,
    initial_value1: Option<Value>,
    initial_value2: Option<Value>,
    initial_value3: Option<Value>,
    initial_value4: Option<Value>,
}

/// The end of a loop.
#[derive(Inputs)]
pub(crate) struct WhileClose {
    flow_control: Flow,
    #[input(link)]
    condition: bool,
    initial_value0: Option<Value>,
    initial_value1: Option<Value>,
    initial_value2: Option<Value>,
    initial_value3: Option<Value>,
    initial_value4: Option<Value>,
}

/// The start of a loop that counts.
#[derive(Inputs)]
pub(crate) struct ForOpen {
    #[input(default = 1, range = 0..=100000, required)]
    remaining: i64,
    /// Takes the place of `remaining` from the second time on.
    initial_value0: Option<Value>,
    initial_value1: Option<Value>,
    initial_value2: Option<Value>,
    initial_value3: Option<Value>,
    initial_value4: Option<Value>,
}

/// The end of a loop that counts.
#[derive(Inputs)]
pub(crate) struct ForClose {
    flow_control: Flow,
    initial_value1: Option<Value>,
    initial_value2: Option<Value>,
    initial_value3: Option<Value>,
    initial_value4: Option<Value>,
}

/// Anything, and whether to block it.
#[derive(Inputs)]
pub(crate) struct Block {
    #[input(required)]
    input: Option<Value>,
    #[input(link)]
    block: bool,
    #[input(default = false, required)]
    verbose: bool,
}

/// Names of the inputs that a loop carries, from the first on.
fn carried(first: usize) -> impl Iterator<Item = String> {
    (first..SOCKETS).map(|i| format!("initial_value{i}"))
}

/// The value again, with a handle of its own.
fn share(value: &Value) -> Result<Value> {
    match value.as_object::<Handle>() {
        Some(handle) => Ok(Value::object(handle.share()?)),
        None => Ok(value.clone()),
    }
}

/// Node and slot of a link.
fn link(value: &Json) -> Option<(&str, usize)> {
    let [Json::String(node), Json::Number(slot)] = value.as_array()?.as_slice() else { return None };
    Some((node, usize::try_from(slot.as_u64()?).ok()?))
}

/// The inputs of a node of the running workflow.
fn inputs_of<'p>(prompt: &'p Json, id: &str) -> impl Iterator<Item = (&'p String, &'p Json)> {
    prompt.get(id).and_then(|n| n.get("inputs")).and_then(Json::as_object).into_iter().flatten()
}

/// The nodes between the start of a loop and its end, both among them.
fn contained(prompt: &Json, open: &str, close: &str) -> BTreeSet<String> {
    // Whom each ancestor of the end feeds.
    let mut feeds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut stack = vec![close.to_owned()];
    while let Some(id) = stack.pop() {
        for (source, _) in inputs_of(prompt, &id).filter_map(|(_, value)| link(value)) {
            if !feeds.contains_key(source) {
                stack.push(source.to_owned());
            }
            feeds.entry(source.to_owned()).or_default().push(id.clone());
        }
    }
    let mut found: BTreeSet<String> = [open.to_owned(), close.to_owned()].into();
    let mut stack = vec![open.to_owned()];
    while let Some(id) = stack.pop() {
        for next in feeds.get(&id).into_iter().flatten() {
            if found.insert(next.clone()) {
                stack.push(next.clone());
            }
        }
    }
    found
}

/// The loop once more: all nodes in it anew, the start fed with what came out.
fn once_more(flow: &Json, values: &[Option<Value>]) -> Result<Returned> {
    let me = place::node_id();
    let Some(Value::Data(prompt)) = place::more().remove("dynprompt") else {
        return Err(Error::internal("the host gives no running workflow"));
    };
    let (open, _) = link(flow).ok_or_else(|| Error::invalid_input("`flow_control` must be linked"))?;
    let inside = contained(&prompt, open, &me);
    // Else the names of copies of copies would grow with each round.
    let name = |id: &str| if id == me { "Recurse".to_owned() } else { id.to_owned() };
    let mut graph = place::graph();
    for id in &inside {
        let class = prompt.get(id).and_then(|n| n.get("class_type")).and_then(Json::as_str);
        let class = class.ok_or_else(|| Error::internal(format!("node {id} is not in the running workflow")))?;
        let mut inputs = Vec::new();
        for (input, value) in inputs_of(&prompt, id) {
            let feed = match link(value) {
                Some((source, slot)) if inside.contains(source) => Feed::link(graph.id(&name(source)), slot),
                Some((source, slot)) => Feed::link(source, slot),
                None => Feed::from(value.clone()),
            };
            inputs.push((input.as_str(), feed));
        }
        let copy = graph.named(class, &name(id), inputs);
        graph.show_as(&copy, id);
    }
    let first = graph.id(&name(open));
    for (i, value) in values.iter().enumerate() {
        let feed = value.as_ref().map(share).transpose()?.map(Feed::from);
        graph.set(&first, &format!("initial_value{i}"), feed);
    }
    let last = graph.id("Recurse");
    Ok(graph.finish((0..SOCKETS).map(|slot| Feed::link(&last, slot))).into())
}

fn raw(names: impl IntoIterator<Item = String>) -> Behaviour {
    Behaviour { raw_links: names.into_iter().collect(), ..plain() }
}

nodes! {
    TestWhileLoopOpen "While Loop Open" (WhileOpen)
        -> [out("FLOW_CONTROL"), out("*"), out("*"), out("*"), out("*"), out("*")] |i|
    {
        let _ = i.condition;
        let values = [i.initial_value0, i.initial_value1, i.initial_value2, i.initial_value3, i.initial_value4];
        let values = values.into_iter().map(|v| v.unwrap_or_else(null));
        Ok(std::iter::once(Value::from("stub")).chain(values).collect::<Vec<_>>().into())
    }; { fn behaviour() -> Behaviour { plain() } }

    TestWhileLoopClose "While Loop Close" (WhileClose) -> [out("*"), out("*"), out("*"), out("*"), out("*")] |i| {
        let values = [i.initial_value0, i.initial_value1, i.initial_value2, i.initial_value3, i.initial_value4];
        if i.condition {
            return once_more(&i.flow_control.0, &values);
        }
        Ok(values.into_iter().map(|v| v.unwrap_or_else(null)).collect::<Vec<_>>().into())
    }; {
        fn behaviour() -> Behaviour {
            let hidden = vec![("dynprompt".into(), Hidden::DynPrompt), ("unique_id".into(), Hidden::UniqueId)];
            Behaviour { hidden, ..raw(["flow_control".to_owned()]) }
        }
    }

    TestForLoopOpen "For Loop Open" (ForOpen)
        -> [out("FLOW_CONTROL"), out("INT"), out("*"), out("*"), out("*"), out("*")] |i|
    {
        let remaining = match i.initial_value0 {
            Some(value) => i64::from_value(&value).map_err(Error::invalid_input)?,
            None => i.remaining,
        };
        let values = [i.initial_value1, i.initial_value2, i.initial_value3, i.initial_value4];
        let mut inputs = vec![
            ("condition".to_owned(), Feed::from(remaining > 0)),
            ("initial_value0".to_owned(), Feed::from(remaining)),
        ];
        for (name, value) in carried(1).zip(&values) {
            if let Some(value) = value {
                inputs.push((name, Feed::from(share(value)?)));
            }
        }
        let mut graph = place::graph();
        graph.node("TestWhileLoopOpen", inputs.iter().map(|(name, feed)| (name.as_str(), feed.clone())));
        let values = values.into_iter().map(|v| Feed::from(v.unwrap_or_else(null)));
        Ok(graph.finish([Feed::from("stub"), Feed::from(remaining)].into_iter().chain(values)).into())
    }; { fn behaviour() -> Behaviour { plain() } }

    TestForLoopClose "For Loop Close" (ForClose) -> [out("*"), out("*"), out("*"), out("*")] |i| {
        let (open, _) = link(&i.flow_control.0).ok_or_else(|| Error::invalid_input("`flow_control` must be linked"))?;
        let mut graph = place::graph();
        let subtract = [("operation", Feed::from("subtract")), ("a", Feed::link(open, 1)), ("b", Feed::from(1))];
        let left = graph.node("TestIntMathOperation", subtract);
        let goes_on = graph.node("TestToBoolNode", [("value", Feed::link(&left, 0))]);
        let close = [
            ("flow_control", Feed::link(open, 0)),
            ("condition", Feed::link(goes_on, 0)),
            ("initial_value0", Feed::link(left, 0)),
        ];
        let close = graph.node("TestWhileLoopClose", close);
        let values = [i.initial_value1, i.initial_value2, i.initial_value3, i.initial_value4];
        for (name, value) in carried(1).zip(&values) {
            let feed = value.as_ref().map(|value| match value {
                Value::Data(json) => link(json).map_or_else(|| Feed::from(json.clone()), |(id, slot)| Feed::link(id, slot)),
                other => Feed::from(other.clone()),
            });
            graph.set(&close, &name, feed);
        }
        Ok(graph.finish((1..SOCKETS).map(|slot| Feed::link(&close, slot))).into())
    }; { fn behaviour() -> Behaviour { raw(carried(1).chain(["flow_control".to_owned()])) } }

    TestExecutionBlocker "Execution Blocker" (Block) -> [out("*")] |i| {
        if i.block {
            return one(Value::blocker(i.verbose.then(|| "Blocked Execution".to_owned())));
        }
        one(i.input.unwrap_or_else(null))
    }; { fn behaviour() -> Behaviour { plain() } }
}

//! The editor's JSON as graphs, with every id as text and every link by its id.

use super::ConvertError;
use super::group_nodes;
use super::shape::{Describe, Shapes, Slot};
use crate::workflow::json_type;
use serde_json::Value;
use std::collections::HashMap;

/// The ids that links inside a subgraph give to its boundary.
pub(super) const INPUT_NODE: &str = "-10";

/// All graphs of a file; the first is the workflow itself, the others are definitions of subgraphs.
pub(super) struct Document<'a> {
    pub(super) graphs: Vec<Graph<'a>>,
    /// Definition by the `type` of its instances.
    pub(super) definitions: HashMap<String, usize>,
}

/// Nodes and links of one level.
#[derive(Default)]
pub(super) struct Graph<'a> {
    pub(super) name: String,
    pub(super) nodes: Vec<UiNode<'a>>,
    pub(super) index: HashMap<String, usize>,
    pub(super) links: HashMap<String, UiLink>,
    pub(super) inputs: Vec<Boundary<'a>>,
    pub(super) outputs: Vec<Boundary<'a>>,
    /// For old group nodes: the widgets of all inner nodes, each named `ID:WIDGET`, in the order of an instance's values.
    pub(super) group_slots: Option<Vec<Slot>>,
}

/// One node as saved.
pub(super) struct UiNode<'a> {
    pub(super) id: String,
    pub(super) class_type: &'a str,
    pub(super) title: Option<&'a str>,
    pub(super) mode: Mode,
    pub(super) inputs: Vec<UiInput<'a>>,
    /// The types of its outputs.
    pub(super) outputs: Vec<&'a str>,
    pub(super) values: &'a Value,
    pub(super) properties: &'a Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Active,
    Muted,
    Bypassed,
}

pub(super) struct UiInput<'a> {
    pub(super) name: &'a str,
    pub(super) type_name: &'a str,
    pub(super) link: Option<String>,
    pub(super) is_widget: bool,
}

/// Where a link comes from and goes to.
pub(super) struct UiLink {
    pub(super) origin: String,
    pub(super) origin_slot: usize,
    pub(super) target: String,
}

/// An input or output of a subgraph.
pub(super) struct Boundary<'a> {
    pub(super) name: &'a str,
    pub(super) links: Vec<String>,
}

static NULL: Value = Value::Null;

impl<'a> Document<'a> {
    pub(super) fn read(workflow: &'a Value, nodes: &dyn Describe) -> Result<(Self, Shapes), ConvertError> {
        let mut wrong = Vec::new();
        let mut document = Self { graphs: vec![Graph::read(workflow, "", &mut wrong)], definitions: HashMap::new() };
        let mut holders = vec![workflow];
        while let Some(holder) = holders.pop() {
            for definition in list(holder.get("definitions").and_then(|d| d.get("subgraphs"))) {
                let Some(id) = definition.get("id").and_then(Value::as_str) else {
                    wrong.push("a subgraph has no `id`".to_owned());
                    continue;
                };
                let name = definition.get("name").and_then(Value::as_str).unwrap_or(id);
                document.add(id.to_owned(), Graph::read(definition, name, &mut wrong));
                holders.push(definition);
            }
        }
        let classes = document.graphs.iter().flat_map(|g| &g.nodes).map(|n| n.class_type);
        let shapes = Shapes::ask(nodes, classes.chain(group_nodes::classes(workflow)));
        group_nodes::read(workflow, &shapes, &mut document, &mut wrong);
        if wrong.is_empty() { Ok((document, shapes)) } else { Err(ConvertError::Malformed(wrong)) }
    }

    pub(super) fn add(&mut self, class_type: String, graph: Graph<'a>) {
        self.definitions.insert(class_type, self.graphs.len());
        self.graphs.push(graph);
    }

    /// The definition that a node is an instance of.
    pub(super) fn definition(&self, node: &UiNode<'_>) -> Option<usize> {
        self.definitions.get(node.class_type).copied()
    }
}

impl<'a> Graph<'a> {
    fn read(value: &'a Value, name: &str, wrong: &mut Vec<String>) -> Self {
        let mut graph = Self { name: name.to_owned(), ..Self::default() };
        for node in list(value.get("nodes")) {
            match UiNode::read(node) {
                Ok(node) => graph.push(node, wrong),
                Err(message) => wrong.push(within(name, &message)),
            }
        }
        for link in list(value.get("links")) {
            if let Some((id, link)) = UiLink::read(link) {
                graph.links.insert(id, link);
            }
        }
        let boundary = |key| list(value.get(key)).map(Boundary::read).collect();
        graph.inputs = boundary("inputs");
        graph.outputs = boundary("outputs");
        graph
    }

    pub(super) fn push(&mut self, node: UiNode<'a>, wrong: &mut Vec<String>) {
        if self.index.insert(node.id.clone(), self.nodes.len()).is_some() {
            wrong.push(within(&self.name, &format!("two nodes have the id {}", node.id)));
        }
        self.nodes.push(node);
    }
}

impl<'a> UiNode<'a> {
    fn read(value: &'a Value) -> Result<Self, String> {
        if !value.is_object() {
            return Err(format!("expected each node to be an object, found {}", json_type(value)));
        }
        let id = value.get("id").and_then(id_text).ok_or("a node has no `id`")?;
        Self::with_id(id, value)
    }

    pub(super) fn with_id(id: String, value: &'a Value) -> Result<Self, String> {
        let class_type = value.get("type").and_then(Value::as_str).ok_or(format!("node {id} has no `type`"))?;
        let inputs = list(value.get("inputs")).map(UiInput::read).collect();
        let outputs = list(value.get("outputs")).map(|o| type_name(o.get("type"))).collect();
        Ok(Self {
            id,
            class_type,
            title: value.get("title").and_then(Value::as_str),
            mode: match value.get("mode").and_then(Value::as_i64) {
                Some(2) => Mode::Muted,
                Some(4) => Mode::Bypassed,
                _ => Mode::Active,
            },
            inputs,
            outputs,
            values: value.get("widgets_values").unwrap_or(&NULL),
            properties: value.get("properties").unwrap_or(&NULL),
        })
    }

    /// The `n`th saved value of a node whose values are a list.
    pub(super) fn value(&self, n: usize) -> Option<&'a Value> {
        self.values.as_array().and_then(|v| v.get(n))
    }
}

impl<'a> UiInput<'a> {
    fn read(value: &'a Value) -> Self {
        Self {
            name: value.get("name").and_then(Value::as_str).unwrap_or(""),
            type_name: type_name(value.get("type")),
            link: value.get("link").and_then(id_text),
            is_widget: value.get("widget").is_some_and(|w| !w.is_null()),
        }
    }
}

impl UiLink {
    /// `[id, origin, slot, target, slot, type]`, or an object with the same.
    fn read(value: &Value) -> Option<(String, Self)> {
        let at = |n: usize, key: &str| if value.is_array() { value.get(n) } else { value.get(key) };
        let slot = |v: Option<&Value>| v.and_then(slot_number).unwrap_or(0);
        let id = at(0, "id").and_then(id_text)?;
        let origin = at(1, "origin_id").and_then(id_text)?;
        let target = at(3, "target_id").and_then(id_text)?;
        Some((id, Self { origin, origin_slot: slot(at(2, "origin_slot")), target }))
    }
}

impl<'a> Boundary<'a> {
    fn read(value: &'a Value) -> Self {
        Self {
            name: value.get("name").and_then(Value::as_str).unwrap_or(""),
            links: list(value.get("linkIds")).filter_map(id_text).collect(),
        }
    }
}

/// The items of an array; nothing for anything else.
pub(super) fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Ids are numbers or texts; `7` and `"7"` are the same.
pub(super) fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => match n.as_f64() {
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 1e15 => Some((f as i64).to_string()),
            _ => Some(n.to_string()),
        },
        _ => None,
    }
}

pub(super) fn slot_number(value: &Value) -> Option<usize> {
    match value {
        Value::String(s) => s.parse().ok(),
        v => v.as_u64().and_then(|n| usize::try_from(n).ok()),
    }
}

/// Old files write the options of a menu instead of a type, and 0 for any.
pub(super) fn type_name(value: Option<&Value>) -> &str {
    match value {
        Some(Value::String(s)) => s,
        Some(Value::Array(_)) => "COMBO",
        _ => "*",
    }
}

fn within(name: &str, message: &str) -> String {
    if name.is_empty() { message.to_owned() } else { format!("subgraph «{name}»: {message}") }
}

//! A small catalog for the tests of this crate.

use crate::{Catalog, Given, Judgement};
use spec::{Branch, Input, Node, Output, Role, Socket, Validates, Value, Widget};
use std::collections::BTreeMap;

pub(crate) fn input(name: &str, socket: Socket) -> Input {
    input_with(name, socket, Widget::None)
}

pub(crate) fn input_with(name: &str, socket: Socket, widget: Widget) -> Input {
    Input { name: name.into(), socket, widget, required: true, is_list: false, lazy: false, tooltip: None }
}

pub(crate) fn node(id: &str, inputs: Vec<Input>, outputs: &[Socket]) -> Node {
    let output = |s: &Socket| Output { name: s.name().into(), socket: s.clone(), is_list: false, tooltip: None };
    Node {
        id: id.into(),
        role: Role::Node,
        display_name: id.into(),
        category: "test".into(),
        description: String::new(),
        inputs,
        outputs: outputs.iter().map(output).collect(),
        output_node: outputs.is_empty(),
        deterministic: true,
        revision: 0,
        experimental: false,
        deprecated: false,
        aliases: Vec::new(),
        strict: true,
        behaviour: spec::Behaviour::default(),
    }
}

/// A menu with inputs behind its choices, and links that grow in number.
pub(crate) fn dynamic() -> Node {
    let number = |name: &str| {
        let widget = Widget::Int { default: 8, min: 0, max: 64, step: 1, seed_control: false };
        Input { required: false, ..input_with(name, Socket::Int, widget) }
    };
    let deep =
        vec![Branch { key: "twice".into(), inputs: vec![number("by")] }, Branch { key: "no".into(), inputs: vec![] }];
    let branches = vec![
        Branch { key: "size".into(), inputs: vec![number("width"), input("height", Socket::Int)] },
        Branch { key: "like".into(), inputs: vec![input("image", Socket::Image)] },
        Branch { key: "deep".into(), inputs: vec![input_with("way", Socket::Text, Widget::Branches(deep))] },
    ];
    let growing = Widget::Growing { prefix: "image".into(), min: 2, max: 4 };
    let inputs = vec![
        number("first"),
        input_with("kind", Socket::Text, Widget::Branches(branches)),
        input_with("images", Socket::Image, growing),
        number("last"),
    ];
    let mut node = node("Dynamic", inputs, &[Socket::Image]);
    node.strict = false;
    node
}

#[derive(Default)]
pub(crate) struct Nodes(pub(crate) BTreeMap<String, Node>);

impl Nodes {
    /// `Empty → Invert → Save`, with a lenient `Loose` and a two-output `Split`.
    pub(crate) fn new() -> Self {
        let size = Widget::Int { default: 64, min: 1, max: 4096, step: 1, seed_control: false };
        let optional = Input { required: false, ..input_with("colour", Socket::Text, Widget::None) };
        let mut loose = node("Loose", vec![input("image", Socket::Image)], &[Socket::Image]);
        loose.strict = false;
        let union = || Socket::from_name("IMAGE,FLOAT");
        let mut picky = node("Picky", vec![input("a", union()), input("b", union())], &[Socket::Image]);
        picky.behaviour.validates = Some(Validates { inputs: vec!["a".into(), "b".into()], ..Validates::default() });
        let unit = Widget::Float { default: 0.0, min: 0.0, max: 1.0, step: 0.1, round: None };
        let mut sevens = node("Sevens", vec![input_with("x", Socket::Float, unit)], &[Socket::Image]);
        sevens.behaviour.validates = Some(Validates { all: true, ..Validates::default() });
        let mut typed = node("Typed", vec![input("image", Socket::Image)], &[Socket::Image]);
        typed.behaviour.validates = Some(Validates { types: true, ..Validates::default() });
        let mut average = node("Average", vec![input("input1", Socket::Image)], &[Socket::Image]);
        average.behaviour.variadic = true;
        let all = [
            dynamic(),
            picky,
            sevens,
            typed,
            average,
            node("Empty", vec![input_with("width", Socket::Int, size), optional], &[Socket::Image]),
            node("Invert", vec![input("image", Socket::Image)], &[Socket::Image]),
            node("Split", vec![input("image", Socket::Image)], &[Socket::Image, Socket::Mask]),
            node("Save", vec![input("image", Socket::Image)], &[]),
            loose,
        ];
        Self(all.into_iter().map(|n| (n.id.clone(), n)).collect())
    }
}

impl Catalog for Nodes {
    fn node(&self, class_type: &str) -> Option<&Node> {
        self.0.get(class_type)
    }
    fn host_list(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn classes(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    /// `Picky` wants floats, `Sevens` no 7, `Typed` refuses masks, and a node of the id `broken` fails to check.
    fn judge(&self, class_type: &str, given: &Given) -> Judgement {
        let json = |name: &str| match given.inputs.get(name) {
            Some(Value::Data(v)) => v.clone(),
            _ => serde_json::Value::Null,
        };
        let no = |reason: &str| Judgement::Refused(Some(reason.to_owned()));
        match class_type {
            _ if given.node_id == "broken" => Judgement::Failed("boom".into()),
            "Picky" if !json("a").is_f64() && !json("a").is_null() => no("no float"),
            "Sevens" if json("x") == 7.0 => no("no sevens"),
            "Typed" if given.types["image"] == "MASK" => Judgement::Refused(None),
            _ => Judgement::Fine,
        }
    }
}

//! A small catalog for the tests of this crate.

use crate::Catalog;
use spec::{Input, Node, Output, Role, Socket, Widget};
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
    }
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
        let all = [
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
}

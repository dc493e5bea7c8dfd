//! Group nodes, which came before subgraphs: `extra.groupNodes`, used as `workflow>NAME` or `workflow/NAME`.
//!
//! A group has no list of inputs and outputs. Its instance shows, node by node, every input that nothing inside the
//! group feeds (those of widgets last), every output that nothing inside uses, and every widget. Read as a
//! subgraph, so that nothing else need know of groups.

use super::read::{Boundary, Document, Graph, INPUT_NODE, UiLink, UiNode, list, slot_number, type_name};
use super::shape::{Holds, Shapes, Slot};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// The classes of the nodes inside of groups.
pub(super) fn classes(workflow: &Value) -> impl Iterator<Item = &str> {
    groups(workflow).flat_map(|(_, group)| list(group.get("nodes"))).filter_map(|n| n.get("type")?.as_str())
}

/// Adds each group as a definition.
pub(super) fn read<'a>(workflow: &'a Value, shapes: &Shapes, document: &mut Document<'a>, wrong: &mut Vec<String>) {
    for (name, group) in groups(workflow) {
        let graph = Group::new(group).graph(name, shapes, wrong);
        let position = document.graphs.len();
        document.graphs.push(graph);
        for separator in ['>', '/'] {
            document.definitions.insert(format!("workflow{separator}{name}"), position);
        }
    }
}

fn groups(workflow: &Value) -> impl Iterator<Item = (&String, &Value)> {
    workflow.get("extra").and_then(|e| e.get("groupNodes")).and_then(Value::as_object).into_iter().flatten()
}

struct Group<'a> {
    value: &'a Value,
    /// `(from, slot, to, slot)`, nodes by their place in the group.
    links: Vec<[usize; 4]>,
    /// Outputs that are shown although something inside uses them.
    external: HashSet<(usize, usize)>,
}

impl<'a> Group<'a> {
    fn new(value: &'a Value) -> Self {
        let numbers = |v: &Value, n: usize| v.get(n).and_then(slot_number);
        let link = |l: &Value| Some([numbers(l, 0)?, numbers(l, 1)?, numbers(l, 2)?, numbers(l, 3)?]);
        let external = |e: &Value| Some((numbers(e, 0)?, numbers(e, 1)?));
        Self {
            value,
            links: list(value.get("links")).filter_map(link).collect(),
            external: list(value.get("external")).filter_map(external).collect(),
        }
    }

    fn graph(&self, name: &str, shapes: &Shapes, wrong: &mut Vec<String>) -> Graph<'a> {
        let mut graph = Graph { name: name.to_owned(), ..Graph::default() };
        for (n, node) in list(self.value.get("nodes")).enumerate() {
            match UiNode::with_id(n.to_string(), node) {
                Ok(mut node) => {
                    // Their links are those of the graph that the group was made from.
                    node.inputs.iter_mut().for_each(|i| i.link = None);
                    graph.push(node, wrong);
                }
                Err(message) => wrong.push(format!("group «{name}»: {message}")),
            }
        }
        self.inner_links(&mut graph);
        self.inputs(&mut graph, shapes);
        self.outputs(&mut graph);
        graph.group_slots = Some(self.slots(&graph, shapes));
        graph
    }

    fn inner_links(&self, graph: &mut Graph<'a>) {
        for (n, [from, from_slot, to, to_slot]) in self.links.iter().enumerate() {
            if *from >= graph.nodes.len() {
                continue;
            }
            if let Some(input) = graph.nodes.get_mut(*to).and_then(|node| node.inputs.get_mut(*to_slot)) {
                input.link = Some(format!("inner {n}"));
                let link = UiLink { origin: from.to_string(), origin_slot: *from_slot, target: to.to_string() };
                graph.links.insert(format!("inner {n}"), link);
            }
        }
    }

    /// Inputs that are sockets, node by node; then those that were widgets.
    fn inputs(&self, graph: &mut Graph<'a>, shapes: &Shapes) {
        let mut order = Vec::new();
        for was_widget in [false, true] {
            for (n, node) in graph.nodes.iter().enumerate() {
                let shape = shapes.get(node.class_type);
                for (slot, input) in node.inputs.iter().enumerate() {
                    let widget = input.is_widget || shape.is_some_and(|s| s.has_widget(input.name));
                    if widget == was_widget && input.link.is_none() && self.is_shown(n, "input", input.name, true) {
                        order.push((n, slot));
                    }
                }
            }
        }
        for (boundary, (n, slot)) in order.into_iter().enumerate() {
            let id = format!("outer {boundary}");
            let link = UiLink { origin: INPUT_NODE.to_owned(), origin_slot: boundary, target: n.to_string() };
            graph.links.insert(id.clone(), link);
            graph.nodes[n].inputs[slot].link = Some(id.clone());
            graph.inputs.push(Boundary { name: graph.nodes[n].inputs[slot].name, links: vec![id] });
        }
    }

    fn outputs(&self, graph: &mut Graph<'a>) {
        let used: HashSet<(usize, usize)> = self.links.iter().map(|l| (l[0], l[1])).collect();
        let mut order = Vec::new();
        for (n, node) in graph.nodes.iter().enumerate() {
            for slot in 0..node.outputs.len() {
                let hidden = used.contains(&(n, slot)) && !self.external.contains(&(n, slot));
                if self.is_shown(n, "output", &slot.to_string(), !hidden) {
                    order.push((n, slot));
                }
            }
        }
        for (boundary, (n, slot)) in order.into_iter().enumerate() {
            let id = format!("out {boundary}");
            let link = UiLink { origin: n.to_string(), origin_slot: slot, target: "-20".to_owned() };
            graph.links.insert(id.clone(), link);
            graph.outputs.push(Boundary { name: "", links: vec![id] });
        }
    }

    /// The user may hide and show what a group shows by itself.
    fn is_shown(&self, node: usize, what: &str, name: &str, otherwise: bool) -> bool {
        let config = self.value.get("config").and_then(|c| c.get(node.to_string())).and_then(|c| c.get(what));
        config.and_then(|c| c.get(name)?.get("visible")?.as_bool()).unwrap_or(otherwise)
    }

    /// Every widget that has not become an input.
    fn slots(&self, graph: &Graph<'a>, shapes: &Shapes) -> Vec<Slot> {
        let controlled = self.controlled(graph);
        let mut all = Vec::new();
        for (n, node) in graph.nodes.iter().enumerate() {
            let name = |slot: &str| format!("{n}:{slot}");
            if node.class_type == "PrimitiveNode" {
                if let Some(kind) = controlled.get(&n) {
                    let holds = if *kind == "COMBO" { Holds::Choice(Vec::new()) } else { Holds::Number };
                    let control = matches!(*kind, "INT" | "COMBO");
                    all.push(Slot::widget(&name("value"), holds, None).with_control(control));
                }
                continue;
            }
            let Some(shape) = shapes.get(node.class_type) else { continue };
            for slot in shape.inputs.iter().filter(|s| s.widget.is_some()) {
                let converted = node.inputs.iter().any(|i| i.name == slot.name && i.is_widget);
                if !converted {
                    all.push(Slot { name: name(&slot.name), ..slot.clone() });
                }
            }
        }
        all
    }

    /// The primitives that feed something, and of what type it is.
    fn controlled(&self, graph: &Graph<'a>) -> HashMap<usize, &'a str> {
        let kinds = list(self.value.get("links")).filter_map(|l| Some((slot_number(l.get(0)?)?, type_name(l.get(5)))));
        kinds.filter(|(n, _)| graph.nodes.get(*n).is_some_and(|n| n.class_type == "PrimitiveNode")).collect()
    }
}

//! Values that instances hold for the widgets inside them.
//!
//! An input of a subgraph that leads to a widget has a value of its own at each instance. Files hold these values in
//! the order of such inputs, or, with the older `proxyWidgets`, in the order of that list, whose entries may also
//! name widgets that no input leads to. What an outer instance says wins over an inner one, and a link over both.

use super::expand::{At, Tree};
use super::read::{Graph, INPUT_NODE, UiNode, id_text, list};
use super::shape::Shapes;
use super::widgets;
use serde_json::Value;
use std::collections::HashMap;

pub(super) struct Promoted<'t, 'd, 'a> {
    tree: &'t Tree<'d, 'a>,
    /// Widgets of nodes, inside of instances, by name.
    overrides: HashMap<(At, String), &'a Value>,
    /// Inputs of instances, by their number in the definition.
    host: HashMap<(At, usize), &'a Value>,
}

impl<'t, 'd, 'a> Promoted<'t, 'd, 'a> {
    pub(super) fn find(tree: &'t Tree<'d, 'a>, shapes: &Shapes) -> Self {
        let mut found = Self { tree, overrides: HashMap::new(), host: HashMap::new() };
        let mut backed = Backed { tree, shapes, known: HashMap::new() };
        for (scope, here) in tree.scopes.iter().enumerate() {
            let Some(instance) = here.outer else { continue };
            match &tree.graph(scope).group_slots {
                Some(slots) => found.group(instance, scope, slots),
                None => found.instance(instance, scope, &backed.inputs(here.graph, 0)),
            }
        }
        found
    }

    /// What an instance around it says instead of the node's own value.
    pub(super) fn overriding(&self, at: At, widget: &str) -> Option<&'a Value> {
        self.overrides.get(&(at, widget.to_owned())).copied()
    }

    /// The instance's own value for an input of its definition.
    pub(super) fn host_value(&self, instance: At, boundary: usize) -> Option<&'a Value> {
        self.host.get(&(instance, boundary)).copied()
    }

    /// Where an input of the definition is among those of the instance, which may be fewer and in another order.
    pub(super) fn instance_slot(&self, instance: At, boundary: usize) -> Option<usize> {
        let inner = self.tree.inner.get(&instance).copied()?;
        let node = self.tree.node(instance);
        if self.tree.graph(inner).group_slots.is_some() {
            return Some(boundary).filter(|b| *b < node.inputs.len());
        }
        let name = self.tree.graph(inner).inputs.get(boundary)?.name;
        // Of inputs with one name, the first belongs to the first.
        let same = self.tree.graph(inner).inputs[..boundary].iter().filter(|b| b.name == name).count();
        let mut named = node.inputs.iter().enumerate().filter(|(_, i)| i.name == name).map(|(n, _)| n);
        named.nth(same)
    }

    pub(super) fn is_linked(&self, at: At, slot: usize) -> bool {
        let link = self.tree.node(at).inputs.get(slot).and_then(|i| i.link.as_ref());
        link.is_some_and(|id| self.tree.graph(at.scope).links.contains_key(id))
    }

    fn group(&mut self, instance: At, scope: usize, slots: &[super::shape::Slot]) {
        let Some(values) = self.tree.node(instance).values.as_array() else { return };
        for (name, value) in widgets::by_name(slots, values) {
            let Some((id, widget)) = name.split_once(':') else { continue };
            if let Some(at) = self.tree.beside(scope, id) {
                self.overrides.insert((at, widget.to_owned()), value);
            }
        }
    }

    fn instance(&mut self, instance: At, scope: usize, backed: &[bool]) {
        let (node, graph) = (self.tree.node(instance), self.tree.graph(scope));
        let proxies: Vec<(String, &'a str)> = list(node.properties.get("proxyWidgets")).map(proxy).collect();
        if proxies.is_empty() {
            let widgets = (0..graph.inputs.len()).filter(|i| backed.get(*i) == Some(&true));
            for (n, boundary) in widgets.enumerate() {
                self.hold(instance, boundary, node.value(n));
            }
        }
        for (n, (id, widget)) in proxies.iter().enumerate() {
            let Some(value) = node.value(n) else { continue };
            if id == "-1" {
                self.hold(instance, position(graph, widget), Some(value));
            } else if let Some(at) = self.tree.beside(scope, id) {
                match boundary_of(graph, self.tree.node(at), widget) {
                    Some(boundary) => self.hold(instance, boundary, Some(value)),
                    None => drop(self.overrides.insert((at, (*widget).to_owned()), value)),
                }
            }
        }
        for entry in list(node.properties.get("proxyWidgetErrorQuarantine")) {
            let (id, widget) = entry.get("originalEntry").map(proxy).unwrap_or_default();
            if id == "-1" {
                self.hold(instance, position(graph, widget), entry.get("hostValue"));
            }
        }
        for (boundary, input) in graph.inputs.iter().enumerate() {
            let outer = self.overriding(instance, input.name);
            self.hold(instance, boundary, outer);
        }
    }

    fn hold(&mut self, instance: At, boundary: usize, value: Option<&'a Value>) {
        if let Some(value) = value {
            self.host.insert((instance, boundary), value);
        }
    }
}

/// `["12", "seed"]`; some files repeat the node's id in the name, `"12: seed"`.
fn proxy(entry: &Value) -> (String, &str) {
    let id = entry.get(0).and_then(id_text).unwrap_or_default();
    let name = entry.get(1).and_then(Value::as_str).unwrap_or("");
    let short = name.split_once(':').filter(|(before, _)| before.trim().parse::<u64>().is_ok());
    (id, short.map_or(name, |(_, after)| after.trim()))
}

fn position(graph: &Graph<'_>, name: &str) -> usize {
    graph.inputs.iter().position(|i| i.name == name).unwrap_or(usize::MAX)
}

/// The input of the subgraph that leads to this widget.
fn boundary_of(graph: &Graph<'_>, node: &UiNode<'_>, widget: &str) -> Option<usize> {
    let id = node.inputs.iter().find(|i| i.name == widget)?.link.as_ref()?;
    graph.links.get(id).filter(|l| l.origin == INPUT_NODE).map(|l| l.origin_slot)
}

/// Which inputs of a definition lead to a widget.
struct Backed<'t, 'd, 'a> {
    tree: &'t Tree<'d, 'a>,
    shapes: &'t Shapes,
    known: HashMap<usize, Vec<bool>>,
}

/// As deep as instances may be nested.
const DEEPEST: usize = 64;

impl Backed<'_, '_, '_> {
    fn inputs(&mut self, graph: usize, depth: usize) -> Vec<bool> {
        if let Some(known) = self.known.get(&graph) {
            return known.clone();
        }
        // Also what a definition that contains itself finds on its second visit.
        let document = self.tree.document;
        let here = &document.graphs[graph];
        self.known.insert(graph, vec![false; here.inputs.len()]);
        if depth > DEEPEST {
            return vec![false; here.inputs.len()];
        }
        let found: Vec<bool> = here
            .inputs
            .iter()
            .map(|boundary| boundary.links.iter().any(|link| self.leads_to_widget(here, link, depth)))
            .collect();
        self.known.insert(graph, found.clone());
        found
    }

    fn leads_to_widget(&mut self, here: &Graph<'_>, link: &str, depth: usize) -> bool {
        let target = here.links.get(link).and_then(|l| here.index.get(&l.target)).map(|&n| &here.nodes[n]);
        let Some(node) = target else { return false };
        let Some(input) = node.inputs.iter().find(|i| i.link.as_deref() == Some(link)) else { return false };
        match self.tree.document.definition(node) {
            Some(inner) => {
                let position = position(&self.tree.document.graphs[inner], input.name);
                self.inputs(inner, depth + 1).get(position) == Some(&true)
            }
            None => input.is_widget || self.shapes.get(node.class_type).is_some_and(|s| s.has_widget(input.name)),
        }
    }
}

//! Writes the nodes that are sent, with their values and links.

use super::choices::choose;
use super::expand::{At, Tree};
use super::promoted::Promoted;
use super::read::{Mode, UiNode};
use super::resolve::{End, Resolver};
use super::shape::{Describe, Holds, Shape, Shapes, Slot};
use super::texts::{Named, fill_in, is_save};
use super::virtual_nodes::role;
use super::widgets::{by_name, same_choice};
use super::{ConvertError, Sending, UnknownNode};
use serde_json::{Map, Value, json};

pub(super) fn emit(
    tree: &Tree<'_, '_>,
    shapes: &Shapes,
    nodes: &dyn Describe,
    sending: &Sending,
) -> Result<Value, ConvertError> {
    let promoted = Promoted::find(tree, shapes);
    let mut resolver = Resolver::new(tree, &promoted);
    let (mut sent, mut unknown) = (Map::new(), Vec::new());
    let (mut named, mut saves) = (Vec::new(), Vec::new());
    for scope in 0..tree.scopes.len() {
        for node in 0..tree.graph(scope).nodes.len() {
            let at = At { scope, node };
            let node = tree.node(at);
            if node.mode != Mode::Active || tree.inner.contains_key(&at) || role(node.class_type).is_some() {
                continue;
            }
            match shapes.get(node.class_type) {
                Some(shape) => {
                    let mut inputs = values(at, node, shape, &promoted);
                    choose(&shape.inputs, &mut inputs, sending.seed, &tree.id(at));
                    let title = node.title.unwrap_or(&shape.title);
                    let alias = node.properties.get("Node name for S&R").and_then(Value::as_str);
                    named.push(Named { alias, title: title.to_owned(), values: inputs.clone() });
                    links(at, tree, &mut resolver, &mut inputs);
                    if is_save(node.class_type) {
                        saves.push(tree.id(at));
                    }
                    let object =
                        json!({ "inputs": inputs, "class_type": node.class_type, "_meta": { "title": title } });
                    sent.insert(tree.id(at), object);
                }
                None => unknown.push(UnknownNode {
                    id: tree.id(at),
                    class_type: node.class_type.to_owned(),
                    title: node.title.unwrap_or(node.class_type).to_owned(),
                    suggestion: nodes.suggest(node.class_type),
                }),
            }
        }
    }
    for id in saves {
        if let Some(inputs) = sent.get_mut(&id).and_then(|n| n.get_mut("inputs")).and_then(Value::as_object_mut) {
            fill_in(inputs, &named, &sending.now);
        }
    }
    if unknown.is_empty() { Ok(Value::Object(sent)) } else { Err(ConvertError::UnknownNodes(unknown)) }
}

/// The values of the node's widgets: from an instance around it, as saved, or as a new node has them.
fn values(at: At, node: &UiNode<'_>, shape: &Shape, promoted: &Promoted<'_, '_, '_>) -> Map<String, Value> {
    let mut inputs = Map::new();
    match node.values {
        Value::Array(saved) => {
            inputs.extend(by_name(&shape.inputs, saved).into_iter().map(|(name, value)| (name, wrapped(value))));
        }
        // Nodes that keep their values by name also keep what the editor alone uses.
        Value::Object(saved) => {
            let shown = |name: &str| matches!(name, "videopreview" | "preview");
            inputs.extend(saved.iter().filter(|(n, _)| !shown(n)).map(|(n, v)| (n.clone(), wrapped(v))));
        }
        _ => {}
    }
    fill(&shape.inputs, &mut inputs);
    let names: Vec<String> = inputs.keys().cloned().collect();
    for name in names {
        if let Some(value) = promoted.overriding(at, &name) {
            inputs.insert(name, wrapped(value));
        }
    }
    inputs
}

/// Adds what a file that is older than the node does not have.
fn fill(slots: &[Slot], inputs: &mut Map<String, Value>) {
    let mut todo: Vec<(String, &Slot)> = slots.iter().rev().map(|s| (s.name.clone(), s)).collect();
    while let Some((name, slot)) = todo.pop() {
        let Some(widget) = slot.widget.as_ref().filter(|w| w.sent) else { continue };
        if !inputs.contains_key(&name)
            && let Some(default) = &widget.default
        {
            inputs.insert(name.clone(), wrapped(default));
        }
        if let (Holds::Branches(branches), Some(value)) = (&widget.holds, inputs.get(&name))
            && let Some((_, inner)) = branches.iter().find(|(key, _)| same_choice(key, value))
        {
            todo.extend(inner.iter().rev().map(|s| (format!("{name}.{}", s.name), s)));
        }
    }
}

/// What links give wins over what was written.
fn links<'a>(at: At, tree: &Tree<'_, 'a>, resolver: &mut Resolver<'_, '_, 'a>, inputs: &mut Map<String, Value>) {
    for (slot, input) in tree.node(at).inputs.iter().enumerate() {
        let value = match resolver.input(at, slot) {
            End::Output(from, slot) => json!([tree.id(from), slot]),
            End::Value(value) => wrapped(value),
            End::Nothing => continue,
        };
        inputs.insert(input.name.to_owned(), value);
    }
}

/// A bare array would read as a link.
fn wrapped(value: &Value) -> Value {
    match value {
        Value::Array(_) => json!({ "__value__": value }),
        other => other.clone(),
    }
}

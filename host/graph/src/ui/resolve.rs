//! Follows a link back to the node that really gives the value, through everything that exists in the editor only.

use super::expand::{At, Tree};
use super::promoted::Promoted;
use super::read::{INPUT_NODE, Mode};
use super::virtual_nodes::{Virtual, role};
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Where a link ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End<'a> {
    /// An output of a node that is sent.
    Output(At, usize),
    /// A value written in the editor.
    Value(&'a Value),
    /// Nothing: the source is muted, absent, or passes nothing on.
    Nothing,
}

/// A place on the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Input(At, usize),
    Output(At, usize),
}

/// Remembers what it has found: many links may share a long chain.
pub(super) struct Resolver<'t, 'd, 'a> {
    tree: &'t Tree<'d, 'a>,
    promoted: &'t Promoted<'t, 'd, 'a>,
    known: HashMap<(Step, &'a str), End<'a>>,
    /// What each `SetNode` of a scope stores under its name.
    sets: HashMap<(usize, &'a str), At>,
}

impl<'t, 'd, 'a> Resolver<'t, 'd, 'a> {
    pub(super) fn new(tree: &'t Tree<'d, 'a>, promoted: &'t Promoted<'t, 'd, 'a>) -> Self {
        let mut sets = HashMap::new();
        for scope in 0..tree.scopes.len() {
            for (node, found) in tree.graph(scope).nodes.iter().enumerate() {
                let name = found.value(0).and_then(Value::as_str);
                if let Some(name) = name.filter(|_| role(found.class_type) == Some(Virtual::Sets)) {
                    sets.insert((scope, name), At { scope, node });
                }
            }
        }
        Self { tree, promoted, known: HashMap::new(), sets }
    }

    /// What the input's link leads to. The links of a circle lead nowhere.
    pub(super) fn input(&mut self, at: At, slot: usize) -> End<'a> {
        let Some(wanted) = self.tree.node(at).inputs.get(slot).map(|i| i.type_name) else { return End::Nothing };
        let (mut step, mut path, mut seen) = (Step::Input(at, slot), Vec::new(), HashSet::new());
        let end = loop {
            if let Some(end) = self.known.get(&(step, wanted)) {
                break *end;
            }
            if !seen.insert(step) {
                break End::Nothing;
            }
            path.push(step);
            match self.advance(step, wanted) {
                Ok(next) => step = next,
                Err(end) => break end,
            }
        };
        self.known.extend(path.into_iter().map(|step| ((step, wanted), end)));
        end
    }

    fn advance(&self, step: Step, wanted: &str) -> Result<Step, End<'a>> {
        match step {
            Step::Input(at, slot) => self.behind_input(at, slot),
            Step::Output(at, slot) => self.behind_output(at, slot, wanted),
        }
    }

    fn behind_input(&self, at: At, slot: usize) -> Result<Step, End<'a>> {
        let graph = self.tree.graph(at.scope);
        let input = self.tree.node(at).inputs.get(slot).ok_or(End::Nothing)?;
        let link = input.link.as_ref().and_then(|id| graph.links.get(id)).ok_or(End::Nothing)?;
        if link.origin == INPUT_NODE
            && let Some(outer) = self.tree.scopes[at.scope].outer
        {
            return self.out_of(outer, link.origin_slot);
        }
        let origin = self.tree.beside(at.scope, &link.origin).ok_or(End::Nothing)?;
        Ok(Step::Output(origin, link.origin_slot))
    }

    /// From an input of a subgraph to what its instance gets there: a link first, else a value of its own.
    fn out_of(&self, instance: At, boundary: usize) -> Result<Step, End<'a>> {
        match self.promoted.instance_slot(instance, boundary) {
            Some(slot) if self.promoted.is_linked(instance, slot) => Ok(Step::Input(instance, slot)),
            _ => Err(self.promoted.host_value(instance, boundary).map_or(End::Nothing, End::Value)),
        }
    }

    fn behind_output(&self, at: At, slot: usize, wanted: &str) -> Result<Step, End<'a>> {
        let node = self.tree.node(at);
        match node.mode {
            Mode::Muted => return Err(End::Nothing),
            Mode::Bypassed => return self.bypass(at, slot, wanted).map(|i| Step::Input(at, i)).ok_or(End::Nothing),
            Mode::Active => {}
        }
        if let Some(&inner) = self.tree.inner.get(&at) {
            return self.behind_instance(at, inner, slot);
        }
        match role(node.class_type) {
            None => Err(End::Output(at, slot)),
            Some(Virtual::Silent) => Err(End::Nothing),
            Some(Virtual::Passes | Virtual::Sets) => Ok(Step::Input(at, slot)),
            Some(Virtual::Literal) => {
                let value = self.promoted.overriding(at, "value").or_else(|| node.value(0));
                Err(value.map_or(End::Nothing, End::Value))
            }
            Some(Virtual::Gets) => {
                let set = node.value(0).and_then(Value::as_str).and_then(|name| self.set_named(at.scope, name));
                Ok(Step::Input(set.ok_or(End::Nothing)?, 0))
            }
        }
    }

    /// In this scope, or in one around it.
    fn set_named(&self, scope: usize, name: &'a str) -> Option<At> {
        let mut around = Some(scope);
        while let Some(scope) = around {
            if let Some(&at) = self.sets.get(&(scope, name)) {
                return Some(at);
            }
            around = self.tree.scopes[scope].outer.map(|o| o.scope);
        }
        None
    }

    fn behind_instance(&self, instance: At, inner: usize, slot: usize) -> Result<Step, End<'a>> {
        let graph = self.tree.graph(inner);
        let output = graph.outputs.get(slot).ok_or(End::Nothing)?;
        let link = output.links.iter().find_map(|id| graph.links.get(id)).ok_or(End::Nothing)?;
        if link.origin == INPUT_NODE {
            return self.out_of(instance, link.origin_slot);
        }
        let origin = self.tree.beside(inner, &link.origin).ok_or(End::Nothing)?;
        Ok(Step::Output(origin, link.origin_slot))
    }

    /// The input that a bypassed node hands on instead of its output.
    fn bypass(&self, at: At, slot: usize, wanted: &str) -> Option<usize> {
        let node = self.tree.node(at);
        if is_any(wanted) {
            return Some(if slot < node.inputs.len() { slot } else { 0 }).filter(|i| *i < node.inputs.len());
        }
        let given = node.outputs.get(slot).copied().unwrap_or("*");
        let fits = |i: usize| {
            let input = node.inputs[i].type_name;
            connects(input, given) && connects(input, wanted)
        };
        if slot < node.inputs.len() && fits(slot) {
            return Some(slot);
        }
        let exact = node.inputs.iter().position(|i| i.type_name == wanted);
        exact.or_else(|| (0..node.inputs.len()).find(|&i| fits(i)))
    }
}

fn is_any(type_name: &str) -> bool {
    matches!(type_name, "*" | "")
}

/// May the editor link these two? Types are compared without case, and `IMAGE,MASK` is either.
pub(super) fn connects(a: &str, b: &str) -> bool {
    let parts = |t: &str| t.split(',').map(|p| p.trim().to_lowercase()).collect::<Vec<_>>();
    is_any(a) || is_any(b) || parts(a).iter().any(|p| is_any(p) || parts(b).iter().any(|q| is_any(q) || p == q))
}

//! Instances of subgraphs, each with a place of its own.

use super::ConvertError;
use super::read::{Document, Graph, Mode, UiNode};
use std::collections::HashMap;

/// More nodes than anyone draws: a definition that holds two of the next, thirty times over, must not fill the memory.
const MOST_NODES: usize = 100_000;
const DEEPEST: usize = 64;

/// The workflow and every instance that is neither muted nor bypassed, outer ones first.
pub(super) struct Tree<'d, 'a> {
    pub(super) document: &'d Document<'a>,
    pub(super) scopes: Vec<Scope>,
    /// The inside of an instance.
    pub(super) inner: HashMap<At, usize>,
}

/// One instance; the first is the workflow itself.
pub(super) struct Scope {
    pub(super) graph: usize,
    /// `56:7:` for the inside of node 7 in instance 56.
    pub(super) prefix: String,
    /// The instance node around it.
    pub(super) outer: Option<At>,
    depth: usize,
}

/// A node in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) scope: usize,
    pub(super) node: usize,
}

impl<'d, 'a> Tree<'d, 'a> {
    pub(super) fn expand(document: &'d Document<'a>) -> Result<Self, ConvertError> {
        let root = Scope { graph: 0, prefix: String::new(), outer: None, depth: 0 };
        let mut tree = Self { document, scopes: vec![root], inner: HashMap::new() };
        let mut total = document.graphs[0].nodes.len();
        let mut scope = 0;
        while scope < tree.scopes.len() {
            let graph = tree.graph(scope);
            for (node, found) in graph.nodes.iter().enumerate() {
                let Some(definition) = document.definition(found) else { continue };
                if found.mode != Mode::Active {
                    continue;
                }
                let at = At { scope, node };
                tree.check(at, definition, &mut total)?;
                let prefix = format!("{}{}:", tree.scopes[scope].prefix, found.id);
                let depth = tree.scopes[scope].depth + 1;
                tree.inner.insert(at, tree.scopes.len());
                tree.scopes.push(Scope { graph: definition, prefix, outer: Some(at), depth });
            }
            scope += 1;
        }
        Ok(tree)
    }

    fn check(&self, at: At, definition: usize, total: &mut usize) -> Result<(), ConvertError> {
        let said = |what: String| Err(ConvertError::Malformed(vec![what]));
        let (id, name) = (self.id(at), &self.document.graphs[definition].name);
        let mut around = Some(at.scope);
        while let Some(scope) = around {
            if self.scopes[scope].graph == definition {
                return said(format!("node {id}: the subgraph «{name}» contains itself"));
            }
            around = self.scopes[scope].outer.map(|o| o.scope);
        }
        if self.scopes[at.scope].depth >= DEEPEST {
            return said(format!("node {id}: subgraphs are nested more than {DEEPEST} deep"));
        }
        *total += self.document.graphs[definition].nodes.len();
        if *total > MOST_NODES {
            return said(format!("node {id}: with its subgraphs the workflow has more than {MOST_NODES} nodes"));
        }
        Ok(())
    }

    pub(super) fn graph(&self, scope: usize) -> &'d Graph<'a> {
        &self.document.graphs[self.scopes[scope].graph]
    }

    pub(super) fn node(&self, at: At) -> &'d UiNode<'a> {
        &self.graph(at.scope).nodes[at.node]
    }

    /// The node's id in API format.
    pub(super) fn id(&self, at: At) -> String {
        format!("{}{}", self.scopes[at.scope].prefix, self.node(at).id)
    }

    /// The node with this id in the same scope.
    pub(super) fn beside(&self, scope: usize, id: &str) -> Option<At> {
        self.graph(scope).index.get(id).map(|&node| At { scope, node })
    }
}

//! The nodes that a workflow may use.

use crate::{Node, guard::guard};
use graph::{Catalog, Given, Judgement};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The host's lists by name (`models/checkpoints` …), read when asked.
pub type HostLists = Arc<dyn Fn(&str) -> Vec<String> + Send + Sync>;

/// Nodes by class, and the host's lists for their inputs.
#[derive(Clone, Default)]
pub struct Registry {
    nodes: BTreeMap<String, Arc<dyn Node>>,
    lists: Option<HostLists>,
}

impl Registry {
    /// A registry of these nodes; of two with one class the later counts.
    pub fn new(nodes: impl IntoIterator<Item = Arc<dyn Node>>) -> Self {
        Self { nodes: nodes.into_iter().map(|n| (n.spec().id.clone(), n)).collect(), lists: None }
    }

    /// Adds a node, or replaces that of the same class.
    pub fn insert(&mut self, node: Arc<dyn Node>) {
        self.nodes.insert(node.spec().id.clone(), node);
    }

    /// Sets where [`Catalog::host_list`] looks.
    #[must_use]
    pub fn with_lists(mut self, lists: HostLists) -> Self {
        self.lists = Some(lists);
        self
    }

    /// The node of a class.
    pub fn get(&self, class_type: &str) -> Option<&Arc<dyn Node>> {
        self.nodes.get(class_type)
    }

    /// All nodes, by class name.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<dyn Node>> {
        self.nodes.values()
    }
}

impl Catalog for Registry {
    fn node(&self, class_type: &str) -> Option<&spec::Node> {
        self.get(class_type).map(|n| n.spec())
    }

    fn host_list(&self, name: &str) -> Vec<String> {
        self.lists.as_ref().map(|lists| lists(name)).unwrap_or_default()
    }

    fn classes(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    fn judge(&self, class_type: &str, given: &Given) -> Judgement {
        let Some(node) = self.get(class_type) else { return Judgement::Fine };
        match guard(|| node.validate(&given.inputs, &given.types)) {
            Ok(None) => Judgement::Fine,
            Ok(Some(reason)) => Judgement::Refused(reason),
            Err(error) => Judgement::Failed(format!("{error:#}")),
        }
    }
}

//! The graph of a run: the nodes of the plan, and those that expansions add.

use crate::identity::{Identity, Subject, identify};
use crate::{CancelToken, Node, NodeRef, Origin, Raised, Registry, Services};
use graph::{Link, Plan};
use serde_json::{Map, Value as Json, json};
use spec::{Expansion, Feed, Value, Values};
use std::collections::HashMap;
use std::sync::Arc;

/// Stands in the running workflow for a value that is no JSON: `{"__value_of__": [node, input]}`.
const VALUE_OF: &str = "__value_of__";

/// One node of the running graph. Nothing of it changes.
pub(crate) struct Live {
    pub(crate) reference: NodeRef,
    pub(crate) node: Arc<dyn Node>,
    pub(crate) constants: Values,
    pub(crate) links: Vec<(String, Link)>,
    pub(crate) identity: Identity,
    pub(crate) parent: Option<usize>,
}

impl Live {
    pub(crate) fn spec(&self) -> &spec::Node {
        self.node.spec()
    }

    pub(crate) fn is_lazy(&self, input: &str) -> bool {
        self.spec().inputs.iter().any(|i| i.lazy && i.name == input)
    }
}

/// All nodes of a run. The first are those of the plan, in its order.
#[derive(Default)]
pub(crate) struct LiveGraph {
    pub(crate) nodes: Vec<Arc<Live>>,
    index: HashMap<Arc<str>, usize>,
}

impl LiveGraph {
    pub(crate) fn of_plan(
        plan: &Plan,
        registry: &Registry,
        services: &Arc<Services>,
        cancel: &CancelToken,
    ) -> anyhow::Result<Self> {
        let mut graph = Self::default();
        for n in &plan.nodes {
            let Some(node) = registry.get(&n.class_type) else {
                anyhow::bail!("node {} ({}): there is no such node in this host", n.id, n.class_type);
            };
            let links =
                n.links.iter().map(|(name, l)| (name.as_str(), &graph.nodes[l.node].identity, l.slot)).collect();
            let subject = Subject {
                id: &n.id,
                class_type: &n.class_type,
                node: &**node,
                constants: &n.constants,
                links,
                parent: None,
            };
            let identity = identify(&subject, services, cancel);
            let mut reference = NodeRef::new(n.id.as_str(), n.class_type.as_str());
            reference.title = n.title.as_deref().map(Into::into);
            graph.push(Live {
                reference,
                node: node.clone(),
                constants: n.constants.clone(),
                links: n.links.clone(),
                identity,
                parent: None,
            });
        }
        Ok(graph)
    }

    fn push(&mut self, live: Live) {
        self.index.insert(live.reference.id.clone(), self.nodes.len());
        self.nodes.push(Arc::new(live));
    }

    pub(crate) fn find(&self, id: &str) -> anyhow::Result<usize> {
        let missing = || Raised::new("comfy_execution.graph.NodeNotFoundError", format!("Node {id} not found"));
        Ok(self.index.get(id).copied().ok_or_else(missing)?)
    }

    /// Adds the nodes of an expansion of `parent`; gives their indices.
    pub(crate) fn expand(
        &mut self,
        parent: usize,
        expansion: Expansion,
        registry: &Registry,
        services: &Arc<Services>,
        cancel: &CancelToken,
    ) -> anyhow::Result<std::ops::Range<usize>> {
        let first = self.nodes.len();
        let count = expansion.nodes.len();
        let mut ids: HashMap<&str, usize> = HashMap::with_capacity(count);
        for (i, n) in expansion.nodes.iter().enumerate() {
            if self.index.contains_key(n.id.as_str()) || ids.insert(&n.id, first + i).is_some() {
                anyhow::bail!(Raised::new("execution.DuplicateNodeError", format!("Node {} is there twice", n.id)));
            }
        }
        let find = |id: &str| ids.get(id).copied().map_or_else(|| self.find(id), Ok);
        let displays: HashMap<&str, &str> =
            expansion.nodes.iter().filter_map(|n| Some((n.id.as_str(), n.display_id.as_deref()?))).collect();
        let above = self.nodes[parent].reference.clone();
        let mut drafts = Vec::with_capacity(count);
        for n in &expansion.nodes {
            let unknown = || Raised::new("KeyError", format!("'{}'", n.class_type));
            let node = registry.get(&n.class_type).cloned().ok_or_else(unknown)?;
            let (mut constants, mut links) = (Values::new(), Vec::new());
            for (name, feed) in &n.inputs {
                match feed {
                    Feed::Link { node, slot } => links.push((name.clone(), Link { node: find(node)?, slot: *slot })),
                    Feed::Value(value) => {
                        constants.insert(name.clone(), self.placed(value)?);
                    }
                }
            }
            links.sort_by(|a, b| a.0.cmp(&b.0));
            let display = self.display(n.display_id.as_deref(), &displays, &above);
            let origin = Origin { display, parent: above.id.clone(), real: above.real().clone() };
            let mut reference = NodeRef::new(n.id.as_str(), n.class_type.as_str());
            reference.origin = Some(Arc::new(origin));
            drafts.push(Some(Live {
                reference,
                node,
                constants,
                links,
                identity: Identity::Unknown,
                parent: Some(parent),
            }));
        }
        self.identify_new(first, &mut drafts, services, cancel);
        drafts.into_iter().flatten().for_each(|live| self.push(live));
        Ok(first..first + count)
    }

    /// A value that is no JSON comes back from where the running workflow named it.
    fn placed(&self, value: &Value) -> anyhow::Result<Value> {
        let Value::Data(Json::Object(object)) = value else { return Ok(value.clone()) };
        let Some([Json::String(node), Json::String(input)]) =
            object.get(VALUE_OF).and_then(Json::as_array).map(Vec::as_slice)
        else {
            return Ok(value.clone());
        };
        let found = self.nodes[self.find(node)?].constants.get(input).cloned();
        found.ok_or_else(|| Raised::new("KeyError", format!("'{input}'")).into())
    }

    /// The end of the chain of display ids.
    fn display(&self, wanted: Option<&str>, new: &HashMap<&str, &str>, above: &NodeRef) -> Arc<str> {
        let mut id = wanted.unwrap_or(&above.id);
        for _ in 0..new.len() {
            match new.get(id) {
                Some(next) if *next != id => id = next,
                _ => break,
            }
        }
        self.index.get(id).map_or_else(|| id.into(), |&i| self.nodes[i].reference.display().clone())
    }

    /// Ancestors first; nodes of a cycle stay unknown, and are found when nothing can run.
    fn identify_new(&self, first: usize, drafts: &mut [Option<Live>], services: &Arc<Services>, cancel: &CancelToken) {
        let count = drafts.len();
        let (mut missing, mut feeds) = (vec![0; count], vec![Vec::new(); count]);
        for (i, live) in drafts.iter().enumerate() {
            for (_, link) in live.iter().flat_map(|l| &l.links).filter(|(_, l)| l.node >= first) {
                missing[i] += 1;
                feeds[link.node - first].push(i);
            }
        }
        let mut ready: Vec<usize> = (0..count).rev().filter(|&i| missing[i] == 0).collect();
        while let Some(i) = ready.pop() {
            let identity = drafts[i].as_ref().map(|live| {
                let source = |node: usize| match node.checked_sub(first) {
                    Some(new) => drafts[new].as_ref().map_or(&Identity::Unknown, |l| &l.identity),
                    None => &self.nodes[node].identity,
                };
                let parent = live.parent.map(|p| &self.nodes[p]);
                let subject = Subject {
                    id: &live.reference.id,
                    class_type: &live.reference.class_type,
                    node: &*live.node,
                    constants: &live.constants,
                    links: live.links.iter().map(|(name, l)| (name.as_str(), source(l.node), l.slot)).collect(),
                    parent: parent.map(|p| (&p.identity, &*p.reference.id)),
                };
                identify(&subject, services, cancel)
            });
            if let (Some(live), Some(identity)) = (&mut drafts[i], identity) {
                live.identity = identity;
            }
            for &next in &feeds[i] {
                missing[next] -= 1;
                if missing[next] == 0 {
                    ready.push(next);
                }
            }
        }
    }

    /// The running workflow in API form.
    pub(crate) fn to_json(&self) -> Json {
        let node = |live: &Arc<Live>| {
            let id = &live.reference.id;
            let constant = |(name, value): (&String, &Value)| {
                let json = match value {
                    Value::Data(json) => json.clone(),
                    _ => json!({ VALUE_OF: [&**id, name] }),
                };
                (name.clone(), json)
            };
            let mut inputs: Map<String, Json> = live.constants.iter().map(constant).collect();
            let link = |link: &Link| json!([&*self.nodes[link.node].reference.id, link.slot]);
            inputs.extend(live.links.iter().map(|(name, l)| (name.clone(), link(l))));
            (id.to_string(), json!({ "class_type": &*live.reference.class_type, "inputs": inputs }))
        };
        Json::Object(self.nodes.iter().map(node).collect())
    }
}

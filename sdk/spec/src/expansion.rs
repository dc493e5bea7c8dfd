//! A graph that a node returns to stand in for itself.

use crate::{Object, ObjectType, Value};
use std::sync::Arc;

/// In place of a value: whatever would use it does not run. With a message the user is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker(pub Option<String>);

impl ObjectType for Blocker {
    const SOCKET: &'static str = "EXECUTION_BLOCKER";
}

impl Value {
    /// A value that blocks whatever would use it.
    pub fn blocker(message: Option<String>) -> Self {
        Self::object(Blocker(message))
    }

    /// The blocker that this is, if it is one.
    pub fn as_blocker(&self) -> Option<Arc<Blocker>> {
        match self {
            Self::Object(object) => object.get(),
            _ => None,
        }
    }

    /// The shared object, if this is one of that type.
    pub fn as_object<T: ObjectType>(&self) -> Option<Arc<T>> {
        match self {
            Self::Object(object) => Object::get(object),
            _ => None,
        }
    }
}

/// Where an input of a new node, or an output of the expanding one, comes from.
#[derive(Clone, Debug)]
pub enum Feed {
    Value(Value),
    /// An output of another node, by its full id.
    Link {
        node: String,
        slot: usize,
    },
}

impl Feed {
    /// A link to an output.
    pub fn link(node: impl Into<String>, slot: usize) -> Self {
        Self::Link { node: node.into(), slot }
    }
}

impl<T: Into<serde_json::Value>> From<T> for Feed {
    fn from(value: T) -> Self {
        Self::Value(Value::Data(value.into()))
    }
}

impl From<Value> for Feed {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// One node of an expansion.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Full id, prefix included.
    pub id: String,
    pub class_type: String,
    pub inputs: Vec<(String, Feed)>,
    /// The node that a front end shows in its place; none: the one that expanded.
    pub display_id: Option<String>,
}

/// New nodes, and where the expanding node's outputs come from.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    pub nodes: Vec<NewNode>,
    /// One per output.
    pub result: Vec<Feed>,
}

/// Builds an [`Expansion`]. Every builder of a call needs a prefix of its own; the context of the call gives them.
///
/// ```
/// use spec::{Feed, GraphBuilder};
///
/// let mut graph = GraphBuilder::new("7.0.0.");
/// let mask = graph.node("StubMask", [("value", Feed::from(0.5))]);
/// let mix = graph.node("Mix", [("mask", Feed::link(&mask, 0))]);
/// let expansion = graph.finish([Feed::link(&mix, 0)]);
/// assert_eq!(expansion.nodes[1].id, "7.0.0.2");
/// ```
pub struct GraphBuilder {
    prefix: String,
    nodes: Vec<NewNode>,
}

impl GraphBuilder {
    /// A builder whose ids begin with `prefix`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), nodes: Vec::new() }
    }

    /// Adds a node under the next free number; gives its full id.
    pub fn node<'i>(&mut self, class_type: &str, inputs: impl IntoIterator<Item = (&'i str, Feed)>) -> String {
        let number = self.nodes.len() + 1;
        self.named(class_type, &number.to_string(), inputs)
    }

    /// Adds a node under a name of its own; gives its full id.
    pub fn named<'i>(
        &mut self,
        class_type: &str,
        name: &str,
        inputs: impl IntoIterator<Item = (&'i str, Feed)>,
    ) -> String {
        let id = format!("{}{name}", self.prefix);
        let inputs = inputs.into_iter().map(|(name, feed)| (name.to_owned(), feed)).collect();
        self.nodes.push(NewNode { id: id.clone(), class_type: class_type.to_owned(), inputs, display_id: None });
        id
    }

    /// The full id of a name.
    pub fn id(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Sets an input of a node that was added before; none takes it away.
    pub fn set(&mut self, id: &str, input: &str, feed: Option<Feed>) {
        let Some(node) = self.nodes.iter_mut().find(|n| n.id == id) else { return };
        node.inputs.retain(|(name, _)| name != input);
        node.inputs.extend(feed.map(|f| (input.to_owned(), f)));
    }

    /// Shows another node in place of this one.
    pub fn show_as(&mut self, id: &str, display_id: &str) {
        if let Some(node) = self.nodes.iter_mut().find(|n| n.id == id) {
            node.display_id = Some(display_id.to_owned());
        }
    }

    /// The expansion, with the outputs of the expanding node.
    pub fn finish(self, result: impl IntoIterator<Item = Feed>) -> Expansion {
        Expansion { nodes: self.nodes, result: result.into_iter().collect() }
    }
}

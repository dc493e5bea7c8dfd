//! Nodes that are neither of the other kinds: values in, values out.

use super::{Answer, Guard, KindRow};
use data::{Array, Image};
use spec::{Annotation, PluginError, Role};

pub(crate) const ROW: KindRow = KindRow { kind: Role::Node, name: "node", interface: "anagama:plugin/node" };

/// A value that a plugin's node takes or gives. Every input and output is a list of these.
#[derive(Clone, Debug)]
pub enum NodeValue {
    None,
    Int(i64),
    Float(f64),
    Boolean(bool),
    Text(String),
    Json(serde_json::Value),
    Image(Image),
    Tensor(Array),
    Annotation(Annotation),
    /// An object that the plugin may pass on but not open.
    Handle(spec::Object),
    /// In place of a value: whatever would use it does not run.
    Blocker(Option<String>),
}

/// The inputs of one call, by name.
pub type NodeInputs = std::collections::BTreeMap<String, Vec<NodeValue>>;

/// One call of a node.
#[derive(Clone, Debug, Default)]
pub struct NodeCall {
    /// The node's id in the running graph.
    pub id: String,
    /// What the ids of new nodes begin with.
    pub prefix: String,
    pub inputs: NodeInputs,
}

/// Where an input of a new node, or an output, comes from.
#[derive(Clone, Debug)]
pub enum NodeFeed {
    Values(Vec<NodeValue>),
    /// An output of a node, by its full id.
    Link(String, usize),
}

/// A node that stands in, with others, for the one that returned it.
#[derive(Clone, Debug)]
pub struct NewNode {
    pub id: String,
    pub class_type: String,
    pub inputs: Vec<(String, NodeFeed)>,
    pub display_id: Option<String>,
}

/// What a node gives.
#[derive(Clone, Debug, Default)]
pub struct NodeReturned {
    /// One for each output.
    pub outputs: Vec<NodeFeed>,
    pub nodes: Vec<NewNode>,
    /// For front ends; an object, or null.
    pub ui: serde_json::Value,
}

/// Does a node accept its inputs?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeVerdict {
    Accepted,
    /// No, with a reason if it gives one.
    Refused(Option<String>),
}

/// The calls that both forms of a node implement.
pub(crate) trait RawNode: Send {
    fn run(&mut self, node: &str, call: &NodeCall) -> Answer<NodeReturned>;
    fn check_lazy(&mut self, node: &str, call: &NodeCall) -> Answer<Vec<String>>;
    fn validate(&mut self, node: &str, call: &NodeCall, types: &[(String, String)]) -> Answer<NodeVerdict>;
    fn fingerprint(&mut self, node: &str, call: &NodeCall) -> Answer<Option<String>>;
}

/// Calls a node once, in an instance of its own.
pub(crate) fn call<T>(
    mut guard: Guard<dyn RawNode>,
    node: &spec::Node,
    f: impl FnOnce(&mut dyn RawNode) -> Answer<T>,
) -> Result<T, PluginError> {
    guard.call(|n| f(n)).map_err(|e| guard.blame(&node.id, &e))
}

/// Runs a node once in an instance of its own.
pub(crate) fn run(
    mut guard: Guard<dyn RawNode>,
    node: &spec::Node,
    call: &NodeCall,
) -> Result<NodeReturned, PluginError> {
    let returned = guard.call(|n| n.run(&node.id, call)).map_err(|e| guard.blame(&node.id, &e))?;
    if returned.outputs.len() != node.outputs.len() {
        let message = format!("expected {} outputs, found {}", node.outputs.len(), returned.outputs.len());
        return Err(guard.blame_plugin(&node.id, PluginError::new(spec::ErrorKind::Internal, message)));
    }
    Ok(returned)
}

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
}

/// The inputs of one call, by name.
pub type NodeInputs = std::collections::BTreeMap<String, Vec<NodeValue>>;

/// The call that both forms of a node implement.
pub(crate) trait RawNode: Send {
    fn run(&mut self, node: &str, inputs: &NodeInputs) -> Answer<Vec<Vec<NodeValue>>>;
}

/// Runs a node once in an instance of its own.
pub(crate) fn run(
    mut guard: Guard<dyn RawNode>,
    node: &spec::Node,
    inputs: &NodeInputs,
) -> Result<Vec<Vec<NodeValue>>, PluginError> {
    let outputs = guard.call(|n| n.run(&node.id, inputs)).map_err(|e| guard.blame(&node.id, &e))?;
    if outputs.len() != node.outputs.len() {
        let message = format!("expected {} outputs, found {}", node.outputs.len(), outputs.len());
        return Err(guard.blame_plugin(&node.id, PluginError::new(spec::ErrorKind::Internal, message)));
    }
    Ok(outputs)
}

//! The editor's own format (`nodes`, `links`, subgraphs, widgets by position) → the API format.
//!
//! Positions mean nothing without a description of the node, so the caller brings one ([`Describe`]): our registry
//! through [`FromCatalog`], or another server's saved `/object_info` through [`ObjectInfo`]. Runs nothing, opens no
//! file. Chains of reroutes and bypassed nodes are followed in a loop, and expansion has a limit, so that the length
//! and nesting of a workflow cost time and memory in proportion, never the stack. Start at [`to_api`].

mod choices;
mod emit;
mod error;
mod expand;
mod group_nodes;
mod object_info;
mod promoted;
mod read;
mod resolve;
mod shape;
mod texts;
mod virtual_nodes;
mod widgets;

pub use error::{ConvertError, UnknownNode};
pub use object_info::ObjectInfo;
pub use shape::{Describe, FromCatalog, Holds, Shape, Slot, Widget};

use crate::Moment;
use serde_json::Value;

/// Is this the editor's format, or a request with it as its `prompt`?
///
/// ```
/// assert!(graph::ui::is_ui(&serde_json::json!({"nodes": [], "links": [], "version": 0.4})));
/// assert!(!graph::ui::is_ui(&serde_json::json!({"3": {"class_type": "KSampler", "inputs": {}}})));
/// ```
pub fn is_ui(value: &Value) -> bool {
    workflow(value).is_some()
}

/// What the editor adds when it sends, which a file does not hold.
#[derive(Clone, Copy, Debug)]
pub struct Sending {
    /// For `%date:yyyy-MM-dd%` in the names of files.
    pub now: Moment,
    /// Decides which one of `{a|b}` is taken in prompts.
    pub seed: u64,
}

/// The workflow in API format, with every node that the editor would send.
///
/// # Errors
/// JSON that is no workflow of the editor, parts of the wrong shape, subgraphs that contain themselves or grow
/// without end, and nodes that `nodes` does not know: all of a kind at once.
pub fn to_api(value: &Value, nodes: &dyn Describe, sending: &Sending) -> Result<Value, ConvertError> {
    let workflow = workflow(value).ok_or(ConvertError::NotUi)?;
    let (document, shapes) = read::Document::read(workflow, nodes)?;
    let tree = expand::Tree::expand(&document)?;
    emit::emit(&tree, &shapes, nodes, sending)
}

/// The workflow itself, whether bare or inside a request.
fn workflow(value: &Value) -> Option<&Value> {
    let is = |v: &Value| v.get("nodes").is_some_and(Value::is_array);
    [Some(value), value.get("prompt"), value.get("workflow")].into_iter().flatten().find(|v| is(v))
}

#[cfg(test)]
mod tests;

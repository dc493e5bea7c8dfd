//! Why a workflow of the editor could not be converted.

use serde_json::{Value, json};

/// A node that nobody described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNode {
    /// As in API format: `56:47` is node 47 inside instance 56.
    pub id: String,
    pub class_type: String,
    pub title: String,
    /// The known class with the nearest name.
    pub suggestion: Option<String>,
}

/// Why a workflow of the editor could not be converted.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum ConvertError {
    #[error("expected a workflow of the editor, an object with `nodes` and `links`")]
    NotUi,
    #[error("{}", .0.join("\n"))]
    Malformed(Vec<String>),
    #[error("{}", sentences(.0))]
    UnknownNodes(Vec<UnknownNode>),
}

impl ConvertError {
    /// The body that ComfyUI answers to a bad prompt.
    pub fn to_json(&self) -> Value {
        let (kind, message, extra) = match self {
            Self::UnknownNodes(nodes) => {
                let first = nodes
                    .first()
                    .map(|n| json!({ "node_id": n.id, "class_type": n.class_type, "node_title": n.title }));
                ("missing_node_type", "Node not found", first.unwrap_or_default())
            }
            _ => ("invalid_prompt", "The workflow could not be converted to API format", json!({})),
        };
        let error = json!({ "type": kind, "message": message, "details": self.to_string(), "extra_info": extra });
        json!({ "error": error, "node_errors": {} })
    }
}

impl std::fmt::Display for UnknownNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, class_type, title, suggestion } = self;
        write!(f, "node {id} ({class_type}")?;
        if title != class_type {
            write!(f, ", «{title}»")?;
        }
        write!(f, "): there is no node `{class_type}`")?;
        match suggestion {
            Some(name) => write!(f, "; did you mean `{name}`"),
            None => Ok(()),
        }
    }
}

fn sentences(nodes: &[UnknownNode]) -> String {
    let mut lines: Vec<String> = nodes.iter().map(UnknownNode::to_string).collect();
    lines.push(
        "nodes that are not known here can be converted with `anagama convert --object-info FILE`, FILE being the \
         `/object_info` of a server that has them"
            .to_owned(),
    );
    lines.join("\n")
}

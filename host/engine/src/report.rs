//! What a run came to.

use crate::{CacheLevel, NodeRef, Outputs};
use serde::Serialize;
use std::sync::Arc;

/// The result of a run, node by node.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// In the order of the plan.
    pub nodes: Vec<NodeReport>,
    /// Was the run asked to stop before it was over?
    pub cancelled: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What became of one node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    pub node: NodeRef,
    #[serde(flatten)]
    pub status: Status,
    /// Is it an output node?
    pub output: bool,
    /// What the node produced in this run or an earlier one.
    #[serde(skip)]
    pub outputs: Option<Arc<Outputs>>,
}

/// What became of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Status {
    Ran {
        seconds: f64,
    },
    Cached {
        from: CacheLevel,
    },
    /// Everything that needs it was cached.
    NotNeeded,
    /// The message begins with the node.
    Failed {
        message: String,
    },
    /// A node that it needs failed.
    Blocked {
        by: NodeRef,
    },
    /// The run was stopped before or while it ran.
    Cancelled,
}

/// A node that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure<'a> {
    pub node: &'a NodeRef,
    /// Begins with the node: «node 7 (KSampler): …».
    pub message: &'a str,
}

impl RunReport {
    /// Did every output node produce its result?
    pub fn succeeded(&self) -> bool {
        !self.cancelled && self.failures().next().is_none()
    }

    /// The nodes that failed by themselves, without those that only needed them.
    pub fn failures(&self) -> impl Iterator<Item = Failure<'_>> {
        self.nodes.iter().filter_map(|n| match &n.status {
            Status::Failed { message } => Some(Failure { node: &n.node, message }),
            _ => None,
        })
    }

    /// The report of the node with this id.
    pub fn node(&self, id: &str) -> Option<&NodeReport> {
        self.nodes.iter().find(|n| &*n.node.id == id)
    }

    /// What the node with this id produced.
    pub fn outputs(&self, id: &str) -> Option<&Arc<Outputs>> {
        self.node(id)?.outputs.as_ref()
    }
}

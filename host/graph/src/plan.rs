//! A validated workflow, ready to run.

use crate::Problem;

/// Every node that some output needs, ancestors first.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Topological order: a node's links point to smaller indices only.
    pub nodes: Vec<PlanNode>,
    /// Indices of the output nodes.
    pub outputs: Vec<usize>,
    /// What does not stop the run, such as an input that a node does not have.
    pub warnings: Vec<Problem>,
}

/// One node with its checked inputs.
#[derive(Clone, Debug)]
pub struct PlanNode {
    pub id: String,
    pub class_type: String,
    /// The user's name for the node, if the workflow has one.
    pub title: Option<String>,
    /// Constants as the input's type wants them: `"16"` has become `16`. Absent inputs stay absent.
    pub constants: spec::Values,
    /// Input name and where its value comes from, sorted by name.
    pub links: Vec<(String, Link)>,
}

/// An output of another node of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index into [`Plan::nodes`].
    pub node: usize,
    /// Index into that node's outputs.
    pub slot: usize,
}

impl Plan {
    /// The node with this id.
    pub fn node(&self, id: &str) -> Option<&PlanNode> {
        self.nodes.iter().find(|n| n.id == id)
    }
}

//! Where validation learns which nodes there are.

use spec::Values;
use std::collections::BTreeMap;

/// The nodes that a workflow may use, and the lists that the host keeps for their inputs.
pub trait Catalog {
    /// The description of a class, if there is such a node.
    fn node(&self, class_type: &str) -> Option<&spec::Node>;

    /// The names in a host list, such as `models/checkpoints`. Unknown lists are empty.
    fn host_list(&self, name: &str) -> Vec<String>;

    /// All class names, for suggestions.
    fn classes(&self) -> Vec<String>;

    /// Asks a node that checks its inputs itself; only called if its description says that it does.
    fn judge(&self, class_type: &str, given: &Given) -> Judgement {
        let _ = (class_type, given);
        Judgement::Fine
    }
}

/// What a node's own check sees.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The node's id in the workflow.
    pub node_id: String,
    /// The inputs that the check covers: constants, and null for what is linked.
    pub inputs: Values,
    /// The type of each linked output, by input name.
    pub types: BTreeMap<String, String>,
}

/// What a node's own check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    Fine,
    /// No, with a reason if the node gives one.
    Refused(Option<String>),
    /// The check itself failed.
    Failed(String),
}

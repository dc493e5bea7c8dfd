//! Where validation learns which nodes there are.

/// The nodes that a workflow may use, and the lists that the host keeps for their inputs.
pub trait Catalog {
    /// The description of a class, if there is such a node.
    fn node(&self, class_type: &str) -> Option<&spec::Node>;

    /// The names in a host list, such as `models/checkpoints`. Unknown lists are empty.
    fn host_list(&self, name: &str) -> Vec<String>;

    /// All class names, for suggestions.
    fn classes(&self) -> Vec<String>;
}

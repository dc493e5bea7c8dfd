//! Where in the running graph a node of the plugin is being called.

use crate::Values;
use crate::spec::GraphBuilder;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// The WIT `place`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) id: String,
    pub(crate) prefix: String,
}

struct Current {
    place: Place,
    more: Values,
    graphs: usize,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// Runs `f` as the call of the node at `place`; `more` are the values that no field of its inputs takes.
pub(crate) fn within<T>(place: Place, more: Values, f: impl FnOnce() -> T) -> T {
    let outer = CURRENT.replace(Some(Current { place, more, graphs: 0 }));
    let result = f();
    CURRENT.replace(outer);
    result
}

fn current<T: Default>(f: impl FnOnce(&mut Current) -> T) -> T {
    CURRENT.with_borrow_mut(|current| current.as_mut().map(f).unwrap_or_default())
}

/// The id of the node that is being called, in the running graph. Empty outside of a call.
pub fn node_id() -> String {
    current(|c| c.place.id.clone())
}

/// Values that no field of the node's inputs takes: undeclared inputs of a
/// [variadic](crate::spec::Behaviour::variadic) node, and [hidden](crate::spec::Behaviour::hidden) ones.
pub fn more() -> Values {
    current(|c| c.more.clone())
}

/// A builder for a graph that stands in for the node; see [`Returned`](crate::Returned).
pub fn graph() -> GraphBuilder {
    GraphBuilder::new(current(|c| {
        c.graphs += 1;
        format!("{}{}.", c.place.prefix, c.graphs - 1)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_graph_of_a_call_has_a_prefix_of_its_own() {
        let place = Place { id: "7".into(), prefix: "7.2.".into() };
        let ids = within(place, Values::new(), || {
            [graph(), graph()].map(|mut g| g.node("A", [])).into_iter().chain([node_id()]).collect::<Vec<_>>()
        });
        assert_eq!(ids, ["7.2.0.1", "7.2.1.1", "7"]);
        assert_eq!(node_id(), "");
    }
}

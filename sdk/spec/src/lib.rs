//! How nodes and plugins describe themselves, and the values that pass between them.
//!
//! Plain data without behaviour: the same types describe a built-in node, a WASM component and a native
//! library, so that nothing downstream can tell them apart. No I/O, no tensors, no graph.
//! Start at [`Node`]; a struct of settings becomes a list of [`Input`]s through [`Inputs`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

// The derive writes `::spec::…`, in this crate's own tests too.
extern crate self as spec;

mod annotation;
mod behaviour;
mod convert;
#[doc(hidden)]
pub mod derive;
mod dynamic;
mod expansion;
mod node;
mod value;

#[cfg(test)]
mod derive_tests;

/// The traits alone, without the derive of the same name; for crates that re-export them with their own.
#[doc(hidden)]
pub mod traits {
    pub use crate::convert::Inputs;
    pub use crate::dynamic::Branches;
}

pub use annotation::{Annotation, ErrorKind, PluginError, Tag};
pub use behaviour::{Behaviour, Hidden, Validates};
pub use convert::{FromValue, InputError, Inputs, Values, unknown_inputs, values_from_json};
pub use dynamic::{Branch, Branches, live_inputs};
pub use expansion::{Blocker, Expansion, Feed, GraphBuilder, NewNode};
pub use node::{Input, Node, Output, PluginInfo, Role, Socket, Widget};
pub use spec_derive::{Branches, Inputs};
pub use value::{Object, ObjectType, Value};

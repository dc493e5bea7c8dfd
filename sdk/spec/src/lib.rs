//! How nodes and plugins describe themselves, and the values that pass between them.
//!
//! Plain data without behaviour: the same types describe a built-in node, a WASM component and a native
//! library, so that nothing downstream can tell them apart. No I/O, no tensors, no graph.
//! Start at [`Node`]; a struct of settings becomes a list of [`Input`]s through [`Inputs`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod annotation;
mod convert;
mod node;
mod value;

pub use annotation::{Annotation, ErrorKind, PluginError, Tag};
pub use convert::{FromValue, InputError, Inputs, Values};
pub use node::{Input, Node, Output, PluginInfo, Role, Socket, Widget};
pub use spec_derive::Inputs;
pub use value::{Object, ObjectType, Value};

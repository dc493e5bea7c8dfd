//! Runs a validated workflow: pulls from its outputs, reuses what has not changed, reports progress, can be cancelled.
//!
//! Moves opaque values with a type name; knows no tensor, no image and no file. What a node needs from the host comes
//! through [`Services`]; what outlives the process goes through a [`ResultCache`]. Start at [`Engine::run`] and [`Node`];
//! most nodes are written as a [`TypedNode`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod board;
mod cache;
mod calls;
mod clock;
mod context;
mod event;
mod guard;
mod identity;
mod live;
mod node;
mod outputs;
mod registry;
mod report;
mod room;
mod run;
mod services;
mod typed;
mod workers;

pub use cache::{CachePolicy, MemoryProbe, RamPolicy};
pub use clock::History;
pub use context::{CancelToken, Cancelled, Context};
pub use event::{CacheLevel, Event, Level, NodeError, NodeRef, Origin, RunProgress};
pub use graph::Moment;
pub use node::{Node, Outputs, Raised, Refusal, ResultCache, RunsEveryTime};
pub use outputs::{IntoOutputs, IntoValue, OrExpand, WithUi};
pub use registry::{HostLists, Registry};
pub use report::{Failure, NodeReport, RunReport, Status};
pub use room::no_room;
pub use run::{Engine, RunOptions};
pub use services::Services;
pub use typed::{TypedNode, node};

#[cfg(test)]
mod testing;

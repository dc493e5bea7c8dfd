//! Workflows as graphs: ComfyUI's API-format JSON, its validation, and the order in which nodes can run.
//!
//! Knows nodes only by their descriptions (a [`Catalog`] of [`spec::Node`]s); runs nothing, opens no file, holds no
//! tensor. No function recurses along links, so that the length of a chain is limited by memory alone.
//! Start at [`Workflow`], then [`validate`]; a server that runs the good outputs of a half good workflow starts at
//! [`check`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod catalog;
mod config;
mod constants;
mod moment;
mod plan;
mod problem;
mod suggest;
pub mod ui;
mod validate;
mod workflow;

pub use catalog::{Catalog, Given, Judgement};
pub use config::input_config;
pub use moment::Moment;
pub use plan::{Link, Plan, PlanNode};
pub use problem::{Kind, Problem, Problems};
pub use suggest::nearest;
pub use validate::{Checked, Options, check, validate};
pub use workflow::{ParseError, SetError, Source, Workflow, WorkflowNode};

#[cfg(test)]
mod testing;

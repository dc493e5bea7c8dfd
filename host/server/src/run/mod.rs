//! The one thread that runs jobs, and what it tells of them.

mod execute;
pub(crate) mod messages;
mod runner;
mod running;
mod view;

pub(crate) use runner::{Runner, start};
pub(crate) use running::Running;

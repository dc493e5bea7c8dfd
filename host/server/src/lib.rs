//! `anagama serve`: HTTP and WebSocket as ComfyUI's front end and clients speak them, on a queue that outlives the process.
//!
//! Knows graphs, the engine and descriptions of nodes; no tensor, no model, no plugin. What it needs of the rest of
//! the program comes through [`Host`]. Start at [`serve`], then `routes/`: a table with one small file per route.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod config;
mod host;
mod http;
mod ids;
mod input_files;
mod jobs;
mod logs;
mod metrics;
mod object_info;
mod outputs;
mod paths;
mod pictures;
mod prompt;
mod room;
mod routes;
mod run;
mod security;
mod serve;
mod system;
mod ui_output;
mod ws;

pub use config::Config;
pub use host::{Device, Host, Job, PREVIEW_METHODS, Plugin};
pub use ids::new_token;
pub use jobs::Policy;
pub use serve::serve;

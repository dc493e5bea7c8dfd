//! Runs ONNX models for plugins, in pure Rust (tract).
//!
//! A model is a folder `<root>/<category>/<name>/` with `model.onnx` and side files (labels, configuration). No
//! images, no grants, no downloads: the loader checks what a plugin may ask for. Start at [`Registry`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod convert;
mod registry;
mod session;

pub use registry::Registry;

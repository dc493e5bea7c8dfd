//! Runs models for plugins: ONNX files in pure Rust (tract) or by an onnxruntime that the user has, others by networks that it is given.
//!
//! A model is a folder `<root>/<category>/<name>/` with `model.onnx`, or `model.safetensors` of a kind that one of the given
//! networks has, and side files (labels, configuration). No
//! images, no grants, no downloads: the loader checks what a plugin may ask for. Start at [`Registry`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod convert;
mod onnx;
mod queue;
mod registry;
mod runtime;
mod session;

pub use registry::Registry;

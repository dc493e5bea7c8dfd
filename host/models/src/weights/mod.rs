//! Tensors from safetensors files: opened safely, handed out by name, with all problems told at once.

mod build;
mod file;
mod part;

pub(crate) use build::{Build, Norm};
pub(crate) use file::{Entry, WeightFile};
pub(crate) use part::{Entries, Part, Piece};

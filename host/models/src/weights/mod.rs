//! Tensors from safetensors and GGUF files: opened safely, handed out by name, with all problems told at once, and read when they
//! are needed.

mod build;
mod file;
mod gguf;
mod mapped;
mod part;
mod widen;

pub(crate) use build::Build;
pub(crate) use file::WeightFile;
pub(crate) use part::{Entries, Part, Piece, Table, stacked_shape};

//! From a plugin's source to its artefacts: a way to the wasm target, the step from a core module to a component, files
//! put in place atomically.
//!
//! `anagama plugin build` and `cargo xtask guests` share it. It knows programs and files only, no crate of the host, and
//! reads no environment: that is given as [`Programs`]. Start at [`Toolchain`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod component;
mod files;
mod shell;
mod toolchain;

pub use component::wrap;
pub use files::{copy, prune, write};
pub use shell::{check, output, show};
pub use toolchain::{Programs, TARGET, Toolchain};

/// The name of a shared library on this system.
pub fn library(stem: &str) -> String {
    format!("{}{stem}{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

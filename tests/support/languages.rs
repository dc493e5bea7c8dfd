//! The tools for plugins in other languages, installed once for all tests.

use crate::root;
use std::path::PathBuf;

/// How the tests build plugins; what is missing is installed below `target/kit-tests/tools`.
pub fn making() -> kit::Making {
    kit::Making {
        programs: compile::Programs { cargo: "cargo".into(), path: std::env::var_os("PATH").unwrap() },
        target: Some(root().join("target/kit-tests")),
        native: false,
        set_up: true,
        cc: "cc".into(),
        tools: root().join("target/kit-tests/tools"),
    }
}

/// The tool of a language, `python` or `js`.
///
/// # Errors
/// It is not there and cannot be had.
pub fn tool(word: &str) -> anyhow::Result<PathBuf> {
    kit::tool(if word == "python" { kit::Lang::Python } else { kit::Lang::Js }, &making())
}

//! Running other programs.

pub(crate) use compile::{check, output, show};
use std::path::Path;
use std::process::Command;

/// This workspace's cargo.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(programs().cargo);
    command.current_dir(root);
    command
}

/// What the environment says of programs.
pub(crate) fn programs() -> compile::Programs {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    compile::Programs { cargo, path: std::env::var_os("PATH").unwrap_or_default() }
}

//! `cargo xtask`: builds the guests, runs the demo and the tests, sets up a fresh machine.
//!
//! It knows files and commands only, of the host just `compile`, so that it builds in seconds. What it installs it announces
//! first. Start at [`USAGE`]; each command has a file.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod demo;
mod gpu;
mod groups;
mod guests;
mod shell;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask guests [NAME…] [--native]   build plugins/*, tests/guests/* and tests/plugins/* as components
                                        (--native: as native libraries too) and install them
                                        to target/plugins and target/test-plugins
cargo xtask gpu [--release]             build anagama-gpu, which computes on NVIDIA cards; sets up
                                        CUDA where it is missing (docs/gpu.md)
cargo xtask demo                        build everything, run examples/train-lora into out/demo
cargo xtask test [GROUP]                run tests; groups: unit, goldens, conformance, workflows,
                                        pack, faults, kit, tidy, peers; no group: all of them, formatting and lints";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    match words.as_slice() {
        ["guests", rest @ ..] => guests::run(&root, &guests::Request::parse(rest)?),
        ["gpu"] => gpu::run(&root, false).map(|()| ExitCode::SUCCESS),
        ["gpu", "--release"] => gpu::run(&root, true).map(|()| ExitCode::SUCCESS),
        ["demo"] => demo::run(&root),
        ["test"] => groups::run(&root, None),
        ["test", group] => groups::run(&root, Some(group)),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("unknown arguments `{}`\n\n{USAGE}", other.join(" ")),
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

//! `cargo xtask demo`: from a fresh clone to a report.

use crate::groups::PROGRAM;
use crate::guests::{Request, build};
use crate::shell::{cargo, check};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::{Command, ExitCode};

pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    // The demo needs no test guest.
    build(root, &Request::plugins(root)?)?;
    println!("building the host");
    check(cargo(root).args(PROGRAM))?;

    let out = root.join("out/demo");
    let mut host = Command::new(root.join("target/debug/anagama"));
    host.current_dir(root).args(["run", "examples/train-lora/workflow.json", "--out"]).arg(&out);
    check(&mut host)?;

    println!();
    for (what, file) in [("report", "report.html"), ("grid", "grid.png")] {
        let path = out.join(file);
        if !path.exists() {
            bail!("the workflow ended without `{}`", path.display());
        }
        println!("{what}: {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

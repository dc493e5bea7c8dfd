//! `cargo xtask test`: runs the groups, counts, and says why something was skipped.
//!
//! A test that cannot run prints a line `SKIPPED: name: reason` to stderr and passes; a test that leaves a part out
//! prints the same to stdout. A script `tests/peers/check_*.py` says what it needs in a line `# needs: torch diffusers`;
//! it passes with exit code 0, and skips if it printed such a line.

use crate::guests::{Request, build};
use crate::shell::{cargo, check, output, show};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

/// Groups that are modules of the integration binary.
const MODULES: [&str; 7] = ["conformance", "workflows", "booru", "captions", "pack", "faults", "tidy"];

/// What happened, added up.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    passed: usize,
    failures: Vec<String>,
    skipped: Vec<String>,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.skipped.extend(other.skipped);
    }

    /// A check that either holds or not.
    fn step(&mut self, what: &str, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(e) => self.failures.push(format!("{what}: {e:#}")),
        }
    }
}

/// Builds the program. `--workspace` makes cargo choose the same features as for the tests, so that each dependency is
/// built once.
pub(crate) const PROGRAM: [&str; 4] = ["build", "--workspace", "--bin", "anagama"];

pub(crate) fn run(root: &Path, group: Option<&str>) -> Result<ExitCode> {
    let mut sum = Sum::default();
    match group {
        None => {
            sum.step("formatting", check(cargo(root).args(["fmt", "--all", "--check"])));
            set_up(root)?;
            sum.add(cargo_test(root, &["--workspace"], "")?);
            sum.add(peers(root)?);
            let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            sum.step("lints", check(cargo(root).args(lints)));
        }
        Some("unit") => sum.add(cargo_test(root, &["--workspace", "--lib", "--bins"], "")?),
        Some("goldens") => sum.add(cargo_test(root, &["--workspace", "--test", "goldens"], "")?),
        Some("peers") => {
            set_up(root)?;
            sum.add(peers(root)?);
        }
        Some("kit") => {
            set_up(root)?;
            sum.add(cargo_test(root, &["--workspace", "--test", "author", "--test", "languages"], "")?);
            sum.add(cargo_test(root, &["--workspace", "--test", "all"], "kit::")?);
        }
        Some("isolation") => {
            set_up(root)?;
            sum.add(cargo_test(root, &["--workspace", "--test", "isolation"], "")?);
        }
        Some(module) if MODULES.contains(&module) => {
            set_up(root)?;
            sum.add(cargo_test(root, &["--workspace", "--test", "all"], &format!("{module}::"))?);
        }
        Some(other) => {
            bail!("unknown group `{other}`; known are unit, goldens, {}, isolation, kit, peers", MODULES.join(", "))
        }
    }
    Ok(report(&sum))
}

/// Guests in both forms and the program itself, which many tests start.
fn set_up(root: &Path) -> Result<()> {
    build(root, &Request { names: Vec::new(), native: true })?;
    check(cargo(root).args(PROGRAM))
}

fn report(sum: &Sum) -> ExitCode {
    println!();
    for line in &sum.skipped {
        println!("skipped: {line}");
    }
    for line in &sum.failures {
        println!("FAILED: {line}");
    }
    println!("{} passed, {} failed, {} skipped", sum.passed, sum.failures.len(), sum.skipped.len());
    if sum.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `cargo test` and reads its output along the way.
fn cargo_test(root: &Path, which: &[&str], filter: &str) -> Result<Sum> {
    let mut command = cargo(root);
    command.args(["test", "--no-fail-fast"]).args(which).args(["--", "--nocapture"]);
    if !filter.is_empty() {
        command.arg(filter);
    }
    let shown = show(&command);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot start cargo")?;
    let (out, err) = (child.stdout.take().context("no output")?, child.stderr.take().context("no output")?);
    let errors = thread::spawn(move || follow(err, &mut std::io::stderr()));
    let lines = follow(out, &mut std::io::stdout());
    let errors = errors.join().unwrap_or_default();
    let status = child.wait()?;

    let mut sum = count(&lines, &errors);
    if !status.success() && sum.failures.is_empty() {
        sum.failures.push(format!("`{shown}` ({status})"));
    }
    Ok(sum)
}

/// Passes lines on and keeps them.
fn follow(from: impl Read, to: &mut impl Write) -> Vec<String> {
    let mut lines = Vec::new();
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
        // A closed terminal is no reason to stop counting.
        let _ = to.write_all(&bytes).and_then(|()| to.flush());
        lines.push(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        bytes.clear();
    }
    lines
}

fn count(lines: &[String], errors: &[String]) -> Sum {
    let mut sum = Sum::default();
    for line in lines {
        if let Some(result) = line.strip_prefix("test result: ") {
            sum.passed += number_before(result, " passed");
        } else if let Some(reason) = line.strip_prefix("test ").and_then(|l| l.split_once(" ... ignored")) {
            let why = reason.1.trim_start_matches(", ");
            sum.skipped.push(format!("{}: {}", reason.0, if why.is_empty() { "ignored" } else { why }));
        }
    }
    // The list of failures that each binary prints at its end: with --nocapture a test's own line may be torn apart.
    let mut in_list = false;
    for line in lines {
        match line.strip_prefix("    ") {
            Some(name) if in_list && !sum.failures.iter().any(|f| f == name) => sum.failures.push(name.to_owned()),
            Some(_) => {}
            None if line.is_empty() => {}
            None => in_list = line == "failures:",
        }
    }
    // A test that was skipped counts as skipped, not as passed.
    sum.passed = sum.passed.saturating_sub(skips(errors).count());
    sum.skipped.extend(skips(errors).chain(skips(lines)));
    sum
}

fn skips(lines: &[String]) -> impl Iterator<Item = String> {
    lines.iter().filter_map(|l| l.split_once("SKIPPED: ")).map(|(_, why)| why.to_owned())
}

/// 8 of `ok. 8 passed; 0 failed; …`.
fn number_before(text: &str, word: &str) -> usize {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// Scripts that compare with other programs.
fn peers(root: &Path) -> Result<Sum> {
    let mut sum = Sum::default();
    let Ok(entries) = std::fs::read_dir(root.join("tests/peers")) else { return Ok(sum) };
    let mut scripts: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| is_check(p)).collect();
    scripts.sort();
    let python = std::env::var("ANAGAMA_PYTHON").unwrap_or_else(|_| "python3".into());
    for script in scripts {
        let name = format!("peers::{}", script.file_stem().unwrap_or_default().to_string_lossy());
        if let Some(reason) = missing(&python, &script)? {
            sum.skipped.push(format!("{name}: {reason}"));
            continue;
        }
        println!("running {}", script.display());
        let result = Command::new(&python).arg(&script).current_dir(root).output().context("cannot start Python")?;
        let (out, err) = (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
        print!("{out}{err}");
        let lines: Vec<String> = out.lines().chain(err.lines()).map(str::to_owned).collect();
        if !result.status.success() {
            sum.failures.push(format!("{name}: {}", lines.last().map_or("no output", String::as_str)));
        } else if let Some(skip) = skips(&lines).next() {
            sum.skipped.push(skip);
        } else {
            sum.passed += 1;
        }
    }
    Ok(sum)
}

/// Benchmarks and modules lie beside the checks.
fn is_check(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("check_") && name.ends_with(".py")
}

/// Why a script cannot run here.
fn missing(python: &str, script: &Path) -> Result<Option<String>> {
    if output(Command::new(python).arg("--version")).is_none() {
        return Ok(Some(format!("no Python: `{python}` does not start; set ANAGAMA_PYTHON")));
    }
    let text = std::fs::read_to_string(script).with_context(|| format!("cannot read `{}`", script.display()))?;
    let needs = text.lines().find_map(|l| l.strip_prefix("# needs:")).unwrap_or_default();
    let lacks = |module: &&str| {
        let find = format!("import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)");
        output(Command::new(python).args(["-c", &find])).is_none()
    };
    let lacking: Vec<&str> = needs.split([' ', ',']).filter(|m| !m.is_empty()).filter(lacks).collect();
    Ok((!lacking.is_empty()).then(|| format!("Python lacks {}; set ANAGAMA_PYTHON", lacking.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn counts_results_over_binaries() {
        let out = "running 3 tests\ntest a ... ok\ntest b ... ignored, needs a GPU\ntest result: ok. 2 passed; 0 failed; \
                   1 ignored; 0 measured; 0 filtered out\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        let sum = count(&lines(out), &lines("  Compiling x\nSKIPPED: a: no Python\n"));
        assert_eq!(sum.passed, 2);
        assert_eq!(sum.skipped, ["b: needs a GPU", "a: no Python"]);
        let parts = count(&lines("test a ... SKIPPED: row 3: no file\ntest result: ok. 1 passed; 0 failed"), &[]);
        assert_eq!((parts.passed, parts.skipped), (1, vec!["row 3: no file".to_owned()]));
        assert!(sum.failures.is_empty());
    }

    #[test]
    fn names_failures_once() {
        let out = "test x::y ... FAILED\n\nfailures:\n\n---- x::y stdout ----\nbroken\n\nfailures:\n    x::y\n\n\
                   test result: FAILED. 0 passed; 1 failed; 0 ignored\n";
        assert_eq!(count(&lines(out), &[]).failures, ["x::y"]);
    }

    #[test]
    fn only_scripts_are_checks() {
        assert!(is_check(Path::new("tests/peers/check_lora_loads.py")));
        assert!(!is_check(Path::new("tests/peers/bench_unet.py")));
        assert!(!is_check(Path::new("tests/peers/README.md")));
    }
}

//! Large components are compiled by this program in a second process: what it needs of memory is limited, and given back.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Address space of that process, in KiB: ten times of what Python's interpreter takes.
const MEMORY_KIB: u64 = 4 << 20;
/// Nothing of what may be compiled takes so long.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

pub(crate) fn compiler() -> Option<loader::Compiler> {
    Some(Arc::new(compile))
}

fn compile(component: &Path, out: &Path) -> Result<(), String> {
    let mib = std::fs::metadata(component).map_or(0, |m| m.len()) >> 20;
    eprintln!("compiling a component of {mib} MiB for this machine; that is done once");
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let mut command = limited(&program);
    command.args(["plugin", "compile"]).arg(component).arg(out);
    // Each thread has address space of its own; a few are as good as many.
    command.env("RAYON_NUM_THREADS", threads()).env("MALLOC_ARENA_MAX", "2");
    run(&mut command, DEADLINE)
}

/// The program, with a limit to its memory where the system's shell can set one.
fn limited(program: &Path) -> Command {
    if cfg!(unix) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -v {MEMORY_KIB} && exec \"$0\" \"$@\"")]).arg(program);
        return command;
    }
    Command::new(program)
}

fn threads() -> String {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(8)).to_string()
}

fn run(command: &mut Command, deadline: Duration) -> Result<(), String> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|e| format!("cannot compile it in a second process: {e}"))?;
    let mut stderr = child.stderr.take();
    // Read along, or a talkative child would wait for us.
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.as_mut().map(|s| s.take(64 << 10).read_to_end(&mut said));
        String::from_utf8_lossy(&said).into_owned()
    });
    let end = Instant::now() + deadline;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
            waited => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(match waited {
                    Err(e) => format!("compiling it: {e}"),
                    Ok(_) => {
                        format!("compiling it took longer than {} minutes and was stopped", deadline.as_secs() / 60)
                    }
                });
            }
        }
    };
    let said = reader.join().unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let last = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("it said nothing").trim().to_owned();
    let last = last.strip_prefix("error: ").unwrap_or(&last);
    // Its own errors end it with a status; running out of memory ends it with a signal.
    match status.code() {
        Some(_) => Err(last.to_owned()),
        None => Err(format!(
            "compiling it failed ({status}: {last}); it may have needed more than the {} GiB that it may take",
            MEMORY_KIB >> 20
        )),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<(), String> {
        run(Command::new("/bin/sh").args(["-c", script]), Duration::from_millis(400))
    }

    #[test]
    fn every_end_of_the_second_process_is_told() {
        assert_eq!(shell("true"), Ok(()));
        assert_eq!(shell("echo 'error: not a component: x' >&2; exit 2"), Err("not a component: x".to_owned()));
        assert!(shell("echo 'memory allocation failed' >&2; kill -ABRT $$").unwrap_err().contains("4 GiB"));
        assert!(shell("exec sleep 9").unwrap_err().contains("stopped"));
    }

    #[test]
    fn the_limit_of_memory_holds() {
        let mut command = limited(Path::new("/bin/sh"));
        let output = command.args(["-c", "ulimit -v"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), MEMORY_KIB.to_string());
    }
}

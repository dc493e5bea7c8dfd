//! Runs in processes of their own, which are killed at any moment, or whose disk is full.

use crate::{base, config, pictures, run, with_large_stack};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use train::dice::{Dice, Purpose, Stream};
use train::{Hooks, LogLine, Wish};

/// Where a process trains; set by the tests that start it.
const FOLDER: &str = "ANAGAMA_TEST_TRAINING";
/// Steps of its run.
const STEPS: &str = "ANAGAMA_TEST_STEPS";
/// The step after which it stops as if it was asked to.
const STOP: &str = "ANAGAMA_TEST_STOP";

struct StopsAfter {
    step: u64,
    done: u64,
}

impl Hooks for StopsAfter {
    fn step(&mut self, line: &LogLine, _: u64) {
        self.done = line.step;
    }

    fn wish(&self) -> Wish {
        if self.done >= self.step { Wish::Stop } else { Wish::Go }
    }
}

/// The process that is killed; as a test of its own it does nothing.
#[test]
fn process() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let stop = number(STOP).unwrap_or(u64::MAX);
    let config = config().with(serde_json::json!({"steps": number(STEPS).unwrap(), "save_every_steps": 7})).unwrap();
    with_large_stack(move || {
        let folder = Path::new(&folder);
        let set = pictures(folder.parent().unwrap());
        let result = run(folder, &config, &base(), &set, &mut StopsAfter { step: stop, done: 0 });
        if stop == u64::MAX {
            result.unwrap();
        }
    });
}

fn start(program: &mut Command, folder: &Path, steps: u64) -> Child {
    program.args(["--exact", "kills::process", "--nocapture"]).env(FOLDER, folder).env(STEPS, steps.to_string());
    program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

fn sum(folder: &Path) -> String {
    format!("{:x}", Sha256::digest(std::fs::read(folder.join("out/lora.safetensors")).unwrap()))
}

#[test]
fn twenty_kills_at_any_moment_leave_no_trace() {
    const LENGTH: u64 = 80;
    const KILLS: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let lines = |folder: &Path| {
        std::fs::read_to_string(folder.join("out").join(train::LOG_FILE)).map_or(0, |log| log.lines().count() as u64)
    };
    let begun = Instant::now();
    let mut child = start(&mut this_program(), &whole, LENGTH);
    while lines(&whole) == 0 {
        assert!(child.try_wait().unwrap().is_none_or(|status| status.success()), "it failed at once");
        std::thread::sleep(Duration::from_millis(5));
    }
    let first = begun.elapsed().as_secs_f64();
    assert!(child.wait().unwrap().success());
    let step = (begun.elapsed().as_secs_f64() - first) / LENGTH as f64;

    let mut dice = Stream::new(20, Purpose::Order, 0);
    for kill in 0..KILLS {
        let (begun, before) = (Instant::now(), lines(&killed));
        let mut child = start(&mut this_program(), &killed, LENGTH);
        // By turns: anywhere, often while it starts; and somewhere in the step after the first, while it computes or
        // saves. However fast the machine has become, no more than a few steps are done before the next kill.
        let wait = if kill % 2 == 0 { dice.unit() * 1.2 * first } else { f64::INFINITY };
        while begun.elapsed().as_secs_f64() < wait && lines(&killed) <= before {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself before kill {kill}");
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_secs_f64(dice.unit() * step));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let done = lines(&killed);
    assert!((KILLS / 2..LENGTH).contains(&done), "{done} of {LENGTH} steps were done between {KILLS} kills");
    assert!(start(&mut this_program(), &killed, LENGTH).wait().unwrap().success());
    assert_eq!(sum(&killed), sum(&whole), "after {KILLS} kills");
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, full) = (dir.path().join("whole"), dir.path().join("full"));
    assert!(start(&mut this_program(), &whole, 14).wait().unwrap().success());
    // Stops behind its first checkpoint.
    assert!(start(this_program().env(STOP, "13"), &full, 14).wait().unwrap().success());
    let first = full.join("out/lora-step00000007.safetensors");
    let kept = std::fs::read(&first).unwrap();

    // A file may grow to a part of a checkpoint: writing fails as on a full disk.
    let blocks = kept.len() / 1024 / 2;
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
    let output = start(shell.arg(std::env::current_exe().unwrap()), &full, 14).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "it wrote more than it could");
    assert!(said.contains("cannot write") && said.contains(".safetensors"), "{said}");
    assert_eq!(std::fs::read(&first).unwrap(), kept, "the checkpoint before is as it was");
    let names = std::fs::read_dir(full.join("out")).unwrap().map(|e| e.unwrap().file_name());
    let names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|n| !n.starts_with(".writing-")), "{names:?}");

    assert!(start(&mut this_program(), &full, 14).wait().unwrap().success());
    assert_eq!(sum(&full), sum(&whole));
}

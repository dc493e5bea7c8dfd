//! Trainings as others see them: each has a folder below the store with its state, its log, who it is, and a place for
//! orders, which it reads before each step.

use anyhow::{Context as _, Result, bail};
use data::Digest;
use engine::Context;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use train::Wish;

/// What a running training can be told.
pub struct Order {
    pub name: &'static str,
    /// For help.
    pub about: &'static str,
    pub(crate) wish: Wish,
}

/// All orders.
pub const ORDERS: &[Order] = &[
    Order { name: "resume", about: "go on after a pause", wish: Wish::Go },
    Order { name: "pause", about: "save the state and wait", wish: Wish::Pause },
    Order { name: "stop", about: "save the state and end; the same workflow goes on from there", wish: Wish::Stop },
    Order {
        name: "keep-best",
        about: "end now; the result is the checkpoint with the lowest loss of pictures that are held back",
        wish: Wish::KeepBest,
    },
    Order { name: "finish", about: "end now, and go on in the workflow with what there is", wish: Wish::Finish },
];

const ABOUT: &str = "job.json";
const RUNNING: &str = "running";
const CONTROL: &str = "control";
const STATE: &str = "state";
const FILES: &str = "checkpoints";
const SAMPLES: &str = "samples";

/// A training, running or not.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingJob {
    /// The start of the folder's name, enough to tell it from others.
    pub id: String,
    /// Stem of its files' names.
    pub name: String,
    /// Steps done, as its log says.
    pub step: u64,
    pub running: bool,
    /// The order that it has not followed yet, or is following.
    pub order: Option<String>,
    pub dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct About {
    name: String,
    node: String,
}

/// Digits of a job's id.
const ID: usize = 10;

/// The folder of this node's training, held while it runs.
pub(super) struct Folder {
    dir: PathBuf,
    /// Unlocked when it is dropped, or when the process ends in whatever way.
    _running: File,
}

impl Folder {
    /// Takes the folder of a training for this process; orders of earlier runs are forgotten.
    ///
    /// # Errors
    /// Another process runs the same training.
    pub(super) fn take(ctx: &Context, name: &str) -> Result<Self> {
        let dir = ctx.services::<crate::Host>().store.scratch(&format!("train {}", ctx.signature()))?;
        let path = dir.join(RUNNING);
        let running = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        if running.try_lock().is_err() {
            bail!("another process runs the same training; {} belongs to it", dir.display());
        }
        forget_order(&dir)?;
        let about = About { name: name.to_owned(), node: format!("{} ({})", ctx.node_id, ctx.class_type) };
        std::fs::write(dir.join(ABOUT), serde_json::to_vec(&about)?)?;
        Ok(Self { dir, _running: running })
    }

    pub(super) fn state(&self) -> PathBuf {
        self.dir.join(STATE)
    }

    pub(super) fn samples(&self) -> PathBuf {
        self.dir.join(SAMPLES)
    }

    pub(super) fn files(&self) -> PathBuf {
        self.dir.join(FILES)
    }

    /// The order in force.
    pub(super) fn wish(&self) -> Wish {
        let text = std::fs::read_to_string(self.dir.join(CONTROL)).unwrap_or_default();
        ORDERS.iter().find(|o| o.name == text.trim()).map_or(Wish::Go, |o| o.wish)
    }
}

fn id(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    name.chars().take(ID).collect()
}

fn forget_order(dir: &Path) -> Result<()> {
    match std::fs::remove_file(dir.join(CONTROL)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).context("cannot remove an old order"),
        _ => Ok(()),
    }
}

/// All trainings of a store, those that run first, then by name.
pub fn training_jobs(store: &Path) -> Vec<TrainingJob> {
    let entries = std::fs::read_dir(store.join("scratch")).into_iter().flatten().flatten();
    let mut jobs: Vec<TrainingJob> = entries.filter_map(|e| job(&e.path())).collect();
    jobs.sort_by(|a, b| (!a.running, &a.name, &a.id).cmp(&(!b.running, &b.name, &b.id)));
    jobs
}

fn job(dir: &Path) -> Option<TrainingJob> {
    let about: About = serde_json::from_slice(&std::fs::read(dir.join(ABOUT)).ok()?).ok()?;
    let running = File::open(dir.join(RUNNING)).is_ok_and(|file| file.try_lock_shared().is_err());
    let log = std::fs::read_to_string(dir.join(FILES).join(train::LOG_FILE)).unwrap_or_default();
    let last = log.lines().rev().find_map(|line| serde_json::from_str::<train::LogLine>(line).ok());
    let order = std::fs::read_to_string(dir.join(CONTROL)).ok();
    let step = last.map_or(0, |line| line.step);
    Some(TrainingJob { id: id(dir), name: about.name, step, running, order, dir: dir.to_owned() })
}

/// The training that is meant: by the start of its id, or by its name if only one has it.
///
/// # Errors
/// None, or more than one.
pub fn find_training(store: &Path, what: &str) -> Result<TrainingJob> {
    let jobs = training_jobs(store);
    let meant = |j: &&TrainingJob| !what.is_empty() && (j.id.starts_with(what) || j.name == what);
    let found: Vec<&TrainingJob> = jobs.iter().filter(meant).collect();
    let list = |jobs: &[&TrainingJob]| {
        jobs.iter().map(|j| format!("{} ({}, step {})", j.id, j.name, j.step)).collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] if jobs.is_empty() => bail!("no training `{what}`: {} holds none", store.display()),
        [] => bail!("no training `{what}`; there are {}", list(&jobs.iter().collect::<Vec<_>>())),
        many => bail!("`{what}` may be any of {}", list(many)),
    }
}

/// Tells a running training what to do.
///
/// # Errors
/// It does not run.
pub fn order(job: &TrainingJob, order: &Order) -> Result<()> {
    if !job.running {
        bail!("training {} ({}) does not run; it stands after step {}", job.id, job.name, job.step);
    }
    // Renamed into place, so that nobody reads half an order.
    let part = job.dir.join(format!("{CONTROL}.{}", std::process::id()));
    std::fs::write(&part, order.name).with_context(|| format!("cannot write {}", part.display()))?;
    Ok(std::fs::rename(&part, job.dir.join(CONTROL))?)
}

/// The newest training state in a folder: that of a training, or one that was copied from it.
pub(super) fn newest_state(dir: &Path) -> Result<PathBuf> {
    for place in [dir.join(STATE), dir.to_owned()] {
        let entries = std::fs::read_dir(&place).into_iter().flatten().flatten();
        let is_state = |p: &PathBuf| {
            let name = p.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("state-") && name.ends_with(".safetensors")
        };
        if let Some(newest) = entries.map(|e| e.path()).filter(is_state).max() {
            return Ok(newest);
        }
    }
    bail!("{}: no training state in it", dir.display())
}

/// SHA-256 of a state, in hex.
pub(super) fn digest(state: &Path) -> Result<String> {
    Ok(Digest::of_file(state).with_context(|| format!("cannot read {}", state.display()))?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::host;

    #[test]
    fn a_training_is_listed_told_and_forgets_old_orders() {
        let dir = tempfile::tempdir().unwrap();
        let (ctx, store) = (host(dir.path()), dir.path().join("store"));
        assert!(find_training(&store, "x").unwrap_err().to_string().contains("none"));
        let folder = Folder::take(&ctx, "ohwx").unwrap();
        assert!(Folder::take(&ctx, "ohwx").is_err(), "one training ran twice");
        let job = find_training(&store, "ohwx").unwrap();
        assert!(job.running && job.id == id(&folder.dir), "{job:?}");
        assert_eq!(folder.wish(), Wish::Go);
        for row in ORDERS {
            order(&job, row).unwrap();
            assert_eq!(folder.wish(), row.wish, "{}", row.name);
        }
        drop(folder);
        let job = find_training(&store, &job.id[..4]).unwrap();
        assert!(!job.running && order(&job, &ORDERS[1]).is_err());
        assert_eq!(Folder::take(&ctx, "ohwx").unwrap().wish(), Wish::Go);
    }
}

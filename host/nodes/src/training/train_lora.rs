use super::job::Job;
use super::jobs::Folder;
use crate::Host;
use crate::compare::Samples;
use crate::types::{Checkpoints, Grid, TrainingState};
use anyhow::{Context as _, bail};
use engine::{Context, Level, TypedNode};
use spec::Inputs;
use std::sync::Arc;
use train::{Config, Hooks, LogLine, Place, Trained, Wish};

/// Trains a LoRA on a data set and saves checkpoints on the way. A run that was stopped or killed goes on where its
/// state was last saved, and ends with the same file as one that was not. `samples` are the pictures that sample options
/// ask for, made on the way.
#[derive(Inputs)]
pub(crate) struct TrainLora {
    #[input(flatten)]
    job: Job,
    /// A state of an earlier training to go on from: its steps count, and `steps` or `epochs` say where this one ends.
    #[input(optional)]
    state: Option<Arc<TrainingState>>,
}

/// Going backward through a network recurses once for each of its operations.
const STACK: usize = 256 << 20;

impl TypedNode for TrainLora {
    const ID: &'static str = "TrainLora";
    const CATEGORY: &'static str = "training";
    const DISPLAY_NAME: &'static str = "Train LoRA";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["checkpoints", "samples"];
    type Output = (Arc<Checkpoints>, Arc<Grid>);

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let (config, base) = (self.job.config(ctx)?, self.job.base()?);
        let store = &ctx.services::<Host>().store;
        let folder = Folder::take(ctx, &config.saving.name)?;
        let place = Place { state_dir: folder.state(), out_dir: folder.files(), cache: Some(&**store) };
        let (dataset, start) = (&self.job.dataset, self.state.as_ref().map(|s| s.path.as_path()));
        let samples = Samples::new(ctx, &config, self.job.parts(), folder.samples(), base.needs().resolution)?;
        let watch = &mut Watch { ctx, folder: &folder, samples: Some(&samples) };
        let trained = on_large_stack(|| train::train_from(&config, &base, dataset, &place, start, watch));
        let kept = keep(ctx, &config, stopped(ctx, trained)?)?;
        Ok((Arc::new(kept), Arc::new(samples.grid()?)))
    }
}

/// Runs a training on a thread of its own.
pub(super) fn on_large_stack<T: Send>(run: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("training".into()).stack_size(STACK);
        let worker = worker.spawn_scoped(scope, run).context("cannot start the training thread")?;
        worker.join().unwrap_or_else(|panic| bail!("training panicked: {}", said(&*panic)))
    })
}

/// A training that was stopped is no failure: it stops the run.
pub(super) fn stopped<T>(ctx: &Context, trained: anyhow::Result<T>) -> anyhow::Result<T> {
    trained.map_err(|e| {
        if !e.is::<train::Cancelled>() && !e.is::<engine::Cancelled>() {
            return e;
        }
        ctx.log(Level::Info, &format!("{e:#}"));
        engine::Cancelled.into()
    })
}

/// Moves the files to where the store verifies them, so that later runs find exactly these.
fn keep(ctx: &Context, config: &Config, trained: Trained) -> anyhow::Result<Checkpoints> {
    let store = &ctx.services::<Host>().store;
    let mut files = trained.checkpoints;
    for file in &mut files {
        let digest = store.put_file(&file.path)?;
        if digest.as_str() != file.sha256 {
            bail!(
                "{}: expected sha256 {}, found {digest}: the disk is not to be trusted",
                file.path.display(),
                file.sha256
            );
        }
        file.path = store.blob_path(&digest);
    }
    let seconds = trained.log.iter().map(|l| l.seconds).sum();
    let trigger = config.captions.activation_tags.join(", ");
    let name = config.saving.name.clone();
    Ok(Checkpoints { name, files, log: trained.log, facts: trained.facts, trigger, seconds })
}

/// Shows the progress of training.
pub(super) struct Watch<'a> {
    pub(super) ctx: &'a Context,
    pub(super) folder: &'a Folder,
    /// Who makes pictures on the way.
    pub(super) samples: Option<&'a Samples<'a>>,
}

impl Hooks for Watch<'_> {
    fn caching(&mut self, done: u64, total: u64) {
        self.ctx.progress(done, total, "encoding pictures");
    }

    fn step(&mut self, line: &LogLine, total: u64) {
        let message = format!("loss {:.4}  lr {:.1e}  {:.2} s/step", line.smooth, line.lr, line.seconds);
        self.ctx.step(line.step, total, &message);
    }

    fn cancelled(&self) -> bool {
        self.ctx.cancelled()
    }

    fn wish(&self) -> Wish {
        if self.cancelled() { Wish::Stop } else { self.folder.wish() }
    }

    fn note(&mut self, text: &str) {
        self.ctx.log(Level::Info, text);
    }

    fn sample(&mut self, step: u64, total: u64, file: &[u8]) -> anyhow::Result<()> {
        let Some(samples) = self.samples else { return Ok(()) };
        self.ctx.progress(step, total, "making pictures");
        samples.make(self.ctx, step, file)
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

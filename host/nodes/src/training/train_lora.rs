use super::job::Job;
use crate::Host;
use crate::types::Checkpoints;
use anyhow::{Context as _, bail};
use engine::{Context, Level, TypedNode};
use spec::Inputs;
use std::sync::Arc;
use train::{Config, Hooks, LogLine, Place, Trained};

/// Trains a LoRA on a data set and saves checkpoints on the way. A run that was stopped or killed goes on where its
/// state was last saved, and ends with the same file as one that was not.
#[derive(Inputs)]
pub(crate) struct TrainLora {
    #[input(flatten)]
    job: Job,
}

/// Going backward through a network recurses once for each of its operations.
const STACK: usize = 256 << 20;

impl TypedNode for TrainLora {
    const ID: &'static str = "TrainLora";
    const CATEGORY: &'static str = "training";
    const DISPLAY_NAME: &'static str = "Train LoRA";
    const PERSISTENT: bool = true;
    const OUTPUT_NAMES: &'static [&'static str] = &["checkpoints"];
    type Output = Arc<Checkpoints>;

    fn run(self, ctx: &Context) -> anyhow::Result<Self::Output> {
        let (config, base) = (self.job.config(ctx)?, self.job.base()?);
        let store = &ctx.services::<Host>().store;
        let scratch = store.scratch(&format!("train {}", ctx.signature()))?;
        let place =
            Place { state_dir: scratch.join("state"), out_dir: scratch.join("checkpoints"), cache: Some(&**store) };
        let dataset = &self.job.dataset;
        let trained = on_large_stack(|| train::train(&config, &base, dataset, &place, &mut Watch { ctx }));
        let kept = keep(ctx, &config, stopped(ctx, trained)?)?;
        Ok(Arc::new(kept))
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

/// A training that was cancelled is no failure.
pub(super) fn stopped<T>(ctx: &Context, trained: anyhow::Result<T>) -> anyhow::Result<T> {
    if let Err(e) = &trained
        && e.is::<train::Cancelled>()
    {
        ctx.log(Level::Info, &format!("{e:#}"));
        ctx.check_cancelled()?;
    }
    trained
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
}

impl Hooks for Watch<'_> {
    fn caching(&mut self, done: u64, total: u64) {
        self.ctx.progress(done, total, "encoding pictures");
    }

    fn step(&mut self, line: &LogLine, total: u64) {
        let message = format!("loss {:.4}  lr {:.1e}  {:.2} s/step", line.smooth, line.lr, line.seconds);
        self.ctx.progress(line.step, total, &message);
    }

    fn cancelled(&self) -> bool {
        self.ctx.cancelled()
    }

    fn note(&mut self, text: &str) {
        self.ctx.log(Level::Info, text);
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

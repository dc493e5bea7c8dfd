//! Between a run and whoever watches it.

use crate::log::LogLine;
use anyhow::Result;
use std::time::Duration;

/// How often a paused run looks whether it may go on.
const PAUSE: Duration = Duration::from_millis(200);

/// What a run tells while it works. Every method has a default.
pub trait Hooks {
    /// Latents are encoded: so many of so many.
    fn caching(&mut self, _done: u64, _total: u64) {}
    /// An optimizer step is done, of so many.
    fn step(&mut self, _line: &LogLine, _total: u64) {}
    /// Asked before each step: stop here, with the state saved?
    fn cancelled(&self) -> bool {
        false
    }
    /// Asked before each step: what does whoever watches want?
    fn wish(&self) -> Wish {
        if self.cancelled() { Wish::Stop } else { Wish::Go }
    }
    /// Something that a person should know.
    fn note(&mut self, _text: &str) {}
    /// Pictures are due after this step (0: before the first), of so many: `file` is the network as it would be saved
    /// now. Comes before the state of that step is saved, so that a run which was killed makes them again.
    ///
    /// # Errors
    /// Those of making them; they end the run, whose state is saved before.
    fn sample(&mut self, _step: u64, _total: u64, _file: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// What a running training is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    #[default]
    Go,
    /// Save the state, and wait for another wish.
    Pause,
    /// Save the state, and end with [`Cancelled`].
    Stop,
    /// Save a last checkpoint and end here, as if no more steps had been asked for.
    Finish,
    /// As [`Self::Finish`], but the result is the checkpoint with the lowest loss of pictures that are held back.
    KeepBest,
}

/// Tells nothing.
pub struct Quiet;

impl Hooks for Quiet {}

/// Waits while that is what whoever watches wants.
pub(crate) fn rest(step: u64, hooks: &mut dyn Hooks) {
    hooks.note(&format!("paused after step {step}"));
    while hooks.wish() == Wish::Pause {
        std::thread::sleep(PAUSE);
    }
}

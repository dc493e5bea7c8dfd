//! The log of a run: one JSON object a line, one line an optimizer step.

use crate::safetensors_file::write_atomic;
use crate::validation::Validated;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// One optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// From 1.
    pub step: u64,
    /// From 1.
    pub epoch: u64,
    /// Mean over the images of the step, with their weights.
    pub loss: f64,
    /// Running mean of the loss; see [`Smooth`].
    pub smooth: f64,
    /// Learning rate of the UNet's network.
    pub lr: f64,
    /// Learning rate of the text encoder's network, if it is trained.
    pub text_encoder_lr: Option<f64>,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Wall time of the step, in seconds.
    pub seconds: f64,
    /// Memory of the whole process after the step, in bytes; None where the system does not tell.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Ids of the images.
    pub images: Vec<String>,
    /// Losses of pictures that are held back and of as many trained ones, at the steps that look at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated: Option<Validated>,
}

/// Memory that the process holds now, in bytes (Linux' resident set).
pub(crate) fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Running mean of the loss: each step counts 2 % less than the next, and the start is not pulled towards zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Smooth {
    pub(crate) sum: f64,
    pub(crate) steps: u64,
}

impl Smooth {
    const KEEP: f64 = 0.98;

    /// Takes a loss in, and gives the mean.
    pub(crate) fn add(&mut self, loss: f64) -> f64 {
        self.sum = self.sum * Self::KEEP + loss * (1.0 - Self::KEEP);
        self.steps += 1;
        self.sum / (1.0 - Self::KEEP.powf(self.steps as f64))
    }
}

/// The running mean at each of these losses, as a run's log has it.
pub fn smooth(losses: &[f64]) -> Vec<f64> {
    let mut mean = Smooth::default();
    losses.iter().map(|loss| mean.add(*loss)).collect()
}

/// The open log file.
pub(crate) struct Log {
    file: File,
    pub(crate) lines: Vec<LogLine>,
}

impl Log {
    /// Goes on with a log after its first `steps` steps: later lines, of a run that was cut off, are taken out.
    pub(crate) fn open(path: &Path, steps: u64) -> Result<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let parsed = text.lines().filter_map(|l| serde_json::from_str::<LogLine>(l).ok());
        let lines: Vec<LogLine> = parsed.filter(|l| l.step <= steps).collect();
        let mut text = String::new();
        for line in &lines {
            text.push_str(&serde_json::to_string(line)?);
            text.push('\n');
        }
        write_atomic(path, text.as_bytes())?;
        let file = File::options().append(true).open(path).with_context(|| path.display().to_string())?;
        Ok(Self { file, lines })
    }

    pub(crate) fn add(&mut self, line: LogLine) -> Result<()> {
        let text = serde_json::to_string(&line)? + "\n";
        self.file.write_all(text.as_bytes()).context("cannot write the training log")?;
        self.lines.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> LogLine {
        LogLine {
            step,
            epoch: 1,
            loss: 0.5,
            smooth: 0.5,
            lr: 1e-3,
            text_encoder_lr: None,
            grad_norm: 0.1,
            seconds: 0.2,
            images: vec!["a.png".into()],
            memory: Some(1 << 30),
            validated: None,
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_that_of_this_process() {
        let mib = resident().unwrap() >> 20;
        assert!((1..100_000).contains(&mib), "{mib} MiB");
    }

    #[test]
    fn going_on_drops_later_and_torn_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        let mut log = Log::open(&path, 0).unwrap();
        (1..=3).for_each(|s| log.add(line(s)).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + "{\"step\": 4, \"lo").unwrap();
        let log = Log::open(&path, 2).unwrap();
        assert_eq!(log.lines, [line(1), line(2)]);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn the_running_mean_of_a_constant_is_the_constant() {
        let mut smooth = Smooth::default();
        for _ in 0..5 {
            assert!((smooth.add(0.7) - 0.7).abs() < 1e-12);
        }
    }
}

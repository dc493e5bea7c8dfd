//! What a run will take, before it starts: peak memory and seconds of a step, from a short dry run of the network itself, and
//! what to switch on when that does not fit.
//!
//! The dry run goes forward through the network at the real size for one picture, a segment at a time, so that it takes little
//! memory itself, and notes what each segment keeps. How much longer the way back takes is measured at a small size.

use crate::config::{BaseDtype, Config};
use crate::setup::{Base, trainer};
use anyhow::{Context as _, Result};
use candle_core::{Device, Tensor};
use models::{Cond, Footprint, Network};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Instant;

/// What a run takes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Most memory at a time.
    pub peak_bytes: u64,
    /// Of an optimizer step on this machine, if nothing else uses it.
    pub seconds_per_step: f64,
    /// What the memory goes to.
    pub parts: Vec<Share>,
    /// What to switch on, one after another, from what costs least; each with those before it.
    pub ladder: Vec<Rung>,
}

/// A part of the memory.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    pub name: &'static str,
    pub bytes: u64,
}

/// One more thing to switch on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rung {
    pub name: &'static str,
    /// Keys of the configuration with their values, with those of the rungs before.
    pub changes: Value,
    pub peak_bytes: u64,
    pub seconds_per_step: f64,
    /// Whether that fits the limit; always if there is none.
    pub fits: bool,
}

/// The program itself with its libraries, tables and buffers.
const PROGRAM: u64 = 100 << 20;
/// Share of the network that stays in memory when the rest is read again.
const SWAPPED: f64 = 0.25;
/// Smaller pictures, as a share of the resolution.
const SMALLER: f64 = 0.75;

/// What a run with this configuration takes whose largest pictures are of `pixels` (width, height), for a limit in bytes.
///
/// # Errors
/// The configuration does not fit the base, or an operation fails.
pub fn estimate(config: &Config, base: &Base, pixels: (u32, u32), limit: Option<u64>) -> Result<Estimate> {
    let dry = DryRun::new(config, base, pixels)?;
    let now = dry.takes(config, 1.0)?;
    let mut ladder = Vec::new();
    let mut changes = serde_json::Map::new();
    let mut scale = 1.0;
    for (name, change) in dry.steps(config, pixels) {
        let smaller = change.get("resolution").is_some();
        changes.extend(change.as_object().cloned().unwrap_or_default());
        if smaller {
            scale = SMALLER * SMALLER;
        }
        let changed = config.with(Value::Object(changes.clone()))?;
        let then = dry.takes(&changed, scale)?;
        ladder.push(Rung {
            name,
            changes: Value::Object(changes.clone()),
            peak_bytes: then.peak_bytes,
            seconds_per_step: then.seconds_per_step,
            fits: limit.is_none_or(|limit| then.peak_bytes <= limit),
        });
    }
    Ok(Estimate { ladder, ..now })
}

/// What has been measured, for one picture.
struct DryRun {
    network: Network,
    segments: Vec<Footprint>,
    /// Seconds forward at the real size.
    forward: f64,
    /// How much longer forward and backward take than forward alone.
    ratio: f64,
    /// Bytes of the text encoders' working copies.
    text: u64,
    /// Numbers that are trained.
    trained: u64,
}

impl DryRun {
    fn new(config: &Config, base: &Base, pixels: (u32, u32)) -> Result<DryRun> {
        let trainer = trainer(config, base)?;
        let network = trainer.network.with_checkpointing(false);
        let memory = base.network.memory();
        memory.release();
        let encoded = base.text.encode("a picture").context("the text encoders")?;
        let text = memory.used() as u64;
        let takes = network.takes().clone();
        let given = |height: usize, width: usize| -> Result<(Tensor, Tensor, Cond)> {
            let x = Tensor::randn(0f32, 1.0, (1, takes.channels, height, width), &Device::Cpu)?;
            let one = Tensor::full(0.5f32, 1, &Device::Cpu)?;
            let cond = Cond {
                context: encoded.states.clone(),
                pooled: encoded.pooled.clone(),
                size: takes.size.then(|| Tensor::full(512f32, (1, 6), &Device::Cpu)).transpose()?,
                guidance: takes.guidance.then(|| Ok::<_, candle_core::Error>(one.clone())).transpose()?,
            };
            Ok((x, one, cond))
        };
        let factor = base.vae.config().factor();
        let (width, height) = (pixels.0 as usize / factor, pixels.1 as usize / factor);
        let side = (4 * takes.multiple).min(width).min(height).max(takes.multiple);
        let small = given(side, side)?;
        // The first pass makes the working copies of the weights.
        network.forward(&small.0, &small.1, &small.2)?;
        let forward = seconds(|| Ok(network.forward(&small.0, &small.1, &small.2).map(drop)?))?;
        let both = seconds(|| {
            let y = network.forward(&small.0, &small.1, &small.2)?;
            Ok(models::backward(&y.sqr()?.mean_all()?).map(drop)?)
        })?;
        let real = given(height, width)?;
        let segments = network.footprint(&real.0, &real.1, &real.2)?;
        // Without gradients to think of, so that nothing is kept.
        let cut = network.with_checkpointing(true);
        let real_forward = seconds(|| Ok(cut.forward(&real.0, &real.1, &real.2).map(drop)?))?;
        let trained = trainer.trained.params.iter().map(|p| p.values.len() as u64).sum();
        Ok(DryRun { network, segments, forward: real_forward, ratio: (both / forward).max(1.5), text, trained })
    }

    /// What a run takes whose pictures have `scale` times the pixels.
    fn takes(&self, config: &Config, scale: f64) -> Result<Estimate> {
        let batch = config.run.batch_size as f64;
        let memory = &config.memory;
        let network = memory.apply(&self.network)?;
        let weights = (network.weight_bytes() as u64).min(network.memory().budget() as u64);
        let activations = Footprint::peak(&self.segments, memory.gradient_checkpointing) as f64 * batch * scale;
        // What the network computes with, the optimizer's copy, the sum of the gradients, the gradients of a batch, and two
        // numbers of the optimizer.
        let trained = self.trained * 4 * 6;
        let parts = vec![
            Share { name: "the network's frozen weights", bytes: weights },
            Share { name: "the text encoders", bytes: self.text },
            Share { name: "what is trained, with its optimizer", bytes: trained },
            Share { name: "what the way back needs", bytes: activations as u64 },
            Share { name: "the program", bytes: PROGRAM },
        ];
        let again = if memory.gradient_checkpointing { 1.0 } else { 0.0 };
        let seconds = self.forward * (self.ratio + again) * batch * scale * config.run.gradient_accumulation as f64;
        Ok(Estimate {
            peak_bytes: parts.iter().map(|part| part.bytes).sum(),
            seconds_per_step: seconds,
            parts,
            ladder: Vec::new(),
        })
    }

    /// What is not switched on yet, from what costs least.
    fn steps(&self, config: &Config, pixels: (u32, u32)) -> Vec<(&'static str, Value)> {
        let memory = &config.memory;
        let mut steps = Vec::new();
        if config.network.train_text_encoder && config.network.train_unet {
            steps.push((
                "train the network alone, on text states that are made once",
                json!({"train_text_encoder": false}),
            ));
        }
        if !memory.gradient_checkpointing {
            steps.push(("gradient checkpointing", json!({"gradient_checkpointing": true})));
        }
        let mut bytes = self.bytes(memory.base_dtype);
        for (name, dtype) in [("the base in bf16", BaseDtype::Bf16), ("the base in 8 bits", BaseDtype::Fp8)] {
            if self.bytes(dtype) < bytes {
                bytes = self.bytes(dtype);
                steps.push((name, json!({"base_dtype": dtype})));
            }
        }
        if memory.base_memory.is_none_or(|amount| amount > SWAPPED && amount <= 1.0) {
            steps.push(("a quarter of the base in memory, the rest read again", json!({"base_memory": SWAPPED})));
        }
        let edge = f64::from(pixels.0) * f64::from(pixels.1);
        let smaller = (edge.sqrt() * SMALLER / 64.0).round().max(1.0) * 64.0;
        steps.push(("smaller pictures", json!({"resolution": smaller as u32, "resolutions": []})));
        steps
    }

    fn bytes(&self, dtype: BaseDtype) -> usize {
        let memory = self.network.memory().keeping(dtype.width());
        self.network.within(&memory).map_or(usize::MAX, |network| network.weight_bytes())
    }
}

fn seconds(f: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    f()?;
    Ok(start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_dry_run_adds_up_and_each_rung_takes_less() {
        let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference");
        let reference = std::env::var_os("ANAGAMA_REFERENCE").map_or(PathBuf::from(reference), PathBuf::from);
        let folder = reference.join("models/sd15");
        let loaded = models::load(&folder, &Device::Cpu, candle_core::DType::F32).unwrap();
        let base = Base::new(&loaded, "sd15");
        let config = Config::default().with(json!({"rank": 4, "batch_size": 1})).unwrap();
        let one = estimate(&config, &base, (128, 128), None).unwrap();
        assert_eq!(one.peak_bytes, one.parts.iter().map(|part| part.bytes).sum::<u64>());
        assert!(one.parts.iter().all(|part| part.bytes > 0) && one.seconds_per_step > 0.0, "{one:?}");
        let names: Vec<_> = one.ladder.iter().map(|rung| rung.name).collect();
        assert!(names.contains(&"gradient checkpointing") && names.last() == Some(&"smaller pictures"), "{names:?}");
        // Training less may take more of what is kept beside it, so the rungs that only save are compared.
        let mut before = u64::MAX;
        for rung in &one.ladder {
            config.with(rung.changes.clone()).unwrap();
            assert!(rung.peak_bytes < before && rung.fits, "{rung:?}");
            before = rung.peak_bytes;
        }
        let part = |estimate: &Estimate| estimate.parts[3].bytes;
        let two = estimate(&config.with(json!({"batch_size": 2})).unwrap(), &base, (128, 128), Some(before)).unwrap();
        assert_eq!(part(&two), 2 * part(&one));
        assert!(!two.ladder[0].fits);
    }
}

//! Times the networks of a model: `cargo run -p models --example speed -- [FOLDER] [LATENT SIDE] [BATCH] [GIGABYTES]`. The
//! name of a family (`SDXL`) in place of a folder is its full-size network with random weights, whose working copies may
//! take so many gigabytes. `train FAMILY SIDE BATCH GIGABYTES [checkpointing] [bf16] [fp8]` is a training step of it with a
//! LoRA of rank 16 at attention and feed-forward layers. `flux-blocks` is one double and one single block of Flux.1 at full width, with
//! 512 text tokens and, for latents of 64, 1024 image tokens.

use candle_core::{DType, Device, Result, Tensor, Var};
use models::{Adapter, LoraRef, TargetKind};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

struct Lora(Tensor, Tensor);

impl Adapter for Lora {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        Some(LoraRef { down: &self.0, up: &self.1, scale: 1.0 })
    }
}

/// A training step of a full-size network: forward, backward.
fn train(mut args: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let name = args.next().unwrap_or_default();
    let family =
        models::FAMILIES.iter().find(|f| f.name == name).ok_or_else(|| anyhow::anyhow!("no family `{name}`"))?;
    let side: usize = args.next().map_or(Ok(32), |s| s.parse())?;
    let batch: usize = args.next().map_or(Ok(1), |s| s.parse())?;
    let budget = args.next().map_or(Ok(usize::MAX), |gb| gb.parse::<f64>().map(|gb| (gb * 1e9) as usize))?;
    let how: Vec<String> = args.collect();
    let is = |name: &str| how.iter().any(|h| h == name);
    let width = if is("bf16") {
        models::Width::Sixteen
    } else if is("fp8") {
        models::Width::Eight
    } else {
        Default::default()
    };
    let network = family.random_network(1, &models::Memory::new(budget).keeping(width))?;
    let network = network.with_adapters(&adapters(network.targets(), 16)?)?.with_checkpointing(is("checkpointing"));
    let x = Tensor::randn(0f32, 1.0, (batch, network.takes().channels, side, side), &Device::Cpu)?;
    let (t, cond) = (Tensor::full(0.5f32, batch, &Device::Cpu)?, cond(network.takes(), batch)?);
    let what = format!("{name}, latents {side}, batch {batch} {}", how.join(" "));
    let activations = models::Footprint::peak(&network.footprint(&x, &t, &cond)?, is("checkpointing"));
    let weights = network.weight_bytes().min(budget);
    println!(
        "predicted peak memory {:.2} GB, {:.2} GB of it weights",
        (weights + activations) as f64 / 1e9,
        weights as f64 / 1e9
    );
    time(&format!("forward, {what}"), 1, || Ok(network.forward(&x, &t, &cond)?.detach()))?;
    time(&format!("train step, {what}"), 1, || {
        Ok(models::backward(&network.forward(&x, &t, &cond)?.sqr()?.mean_all()?)?)
    })?;
    println!("peak memory {:.2} GB", peak_gigabytes());
    Ok(())
}

fn adapters(targets: Vec<models::Target>, rank: usize) -> Result<HashMap<String, Arc<dyn Adapter>>> {
    let mut map = HashMap::new();
    for target in targets {
        let (down, up) = match target.shape {
            TargetKind::Linear { inp, out } => (vec![rank, inp], vec![out, rank]),
            TargetKind::Conv { inp, out, kernel: 1 } => (vec![rank, inp, 1, 1], vec![out, rank, 1, 1]),
            TargetKind::Conv { .. } => continue,
        };
        if !target.path.contains("attn") && !target.path.contains("mlp") && !target.path.contains("ff.") {
            continue;
        }
        let var = |shape: Vec<usize>| {
            Ok::<_, candle_core::Error>(Var::randn(0f32, 0.1, shape, &Device::Cpu)?.as_tensor().clone())
        };
        map.insert(target.path, Arc::new(Lora(var(down)?, var(up)?)) as Arc<dyn Adapter>);
    }
    Ok(map)
}

/// Wall time and the processor time of all threads; the latter is what counts on a busy machine.
fn time<T>(name: &str, runs: usize, mut f: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<()> {
    f()?;
    let mut seconds = Vec::new();
    let before = processor_seconds();
    for _ in 0..runs {
        let start = Instant::now();
        f()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let used = (processor_seconds() - before) / runs as f64;
    seconds.sort_by(f64::total_cmp);
    println!(
        "{name:40} {:8.1} ms, best {:8.1}, processor {:8.1}",
        seconds[runs / 2] * 1e3,
        seconds[0] * 1e3,
        used * 1e3
    );
    Ok(())
}

/// User and system time of this process in seconds (Linux; 0 elsewhere).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn flux_blocks(side: usize) -> anyhow::Result<()> {
    let config = models::FluxConfig { double_blocks: 1, single_blocks: 1, ..models::FluxConfig::dev() };
    let flux = models::Flux::random(config, 1)?;
    let x = Tensor::randn(0f32, 1.0, (1, 16, side, side), &Device::Cpu)?;
    let context = Tensor::randn(0f32, 1.0, (1, 512, 4096), &Device::Cpu)?;
    let pooled = Tensor::randn(0f32, 1.0, (1, 768), &Device::Cpu)?;
    let sigma = Tensor::new(&[0.5f32], &Device::Cpu)?;
    let condition = models::FluxCondition { context: &context, pooled: Some(&pooled), guidance: None, references: &[] };
    for run in ["with weights being made", "again"] {
        let (mut last, mut before) = (Instant::now(), processor_seconds());
        flux.forward_observed(&x, &sigma, condition, &mut |name, _| {
            if name.ends_with("txt") || name.starts_with("single") {
                let (wall, used) = (last.elapsed().as_secs_f64(), processor_seconds() - before);
                println!("{name:24} {run:24} {wall:6.2} s, processor {used:6.2} s");
            }
            (last, before) = match name.ends_with("img") {
                true => (last, before),
                false => (Instant::now(), processor_seconds()),
            };
            Ok(())
        })?;
    }
    println!("peak memory {:.2} GB", peak_gigabytes());
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "examples/models/diffusers/embedded-base".into()));
    if folder.as_os_str() == "train" {
        return train(args);
    }
    if folder.as_os_str() == "flux-blocks" {
        return flux_blocks(args.next().map_or(Ok(64), |s| s.parse())?);
    }
    let side: usize = args.next().map_or(Ok(12), |s| s.parse())?;
    let batch: usize = args.next().map_or(Ok(4), |s| s.parse())?;
    let device = Device::Cpu;
    if let Some(family) = models::FAMILIES.iter().find(|f| f.name == folder.as_os_str()) {
        let start = Instant::now();
        let budget = args.next().map_or(Ok(usize::MAX), |gb| gb.parse::<f64>().map(|gb| (gb * 1e9) as usize))?;
        let network = family.random_network(1, &models::Memory::new(budget))?;
        let built = start.elapsed().as_secs_f64();
        println!("{} built in {built:.2} s, peak memory {:.2} GB", family.name, peak_gigabytes());
        let x = Tensor::randn(0f32, 1.0, (batch, network.takes().channels, side, side), &device)?;
        let (t, cond) = (Tensor::full(500f32, batch, &device)?, cond(network.takes(), batch)?);
        let first = Instant::now();
        network.forward(&x, &t, &cond)?;
        println!("first forward, with weights being made: {:.1} s", first.elapsed().as_secs_f64());
        time(&format!("forward, latents {side}, batch {batch}"), 1, || Ok(network.forward(&x, &t, &cond)?))?;
        println!("peak memory {:.2} GB", peak_gigabytes());
        return Ok(());
    }
    let start = Instant::now();
    let model = models::load(&folder, &device, DType::F32)?;
    println!("loaded in {:.2} s; {} threads", start.elapsed().as_secs_f64(), rayon::current_num_threads());
    let takes = model.network.takes();
    let noise = |b| Tensor::randn(0f32, 1.0, (b, takes.channels, side, side), &device);
    for b in [1, batch, 2 * batch] {
        let (x, t, cond) = (noise(b)?, Tensor::full(500f32, b, &device)?, cond(takes, b)?);
        time(&format!("network forward, batch {b}"), 10, || Ok(model.network.forward(&x, &t, &cond)?))?;
    }
    let x = noise(batch)?;
    time(&format!("VAE decode, batch {batch}"), 5, || Ok(model.vae.decode(&model.latent.unscale(&x)?)?))?;
    time("text encoders, one prompt", 5, || Ok(model.text.encode("a fox under a tree")?))?;
    let network = model.network.with_adapters(&adapters(model.network.targets(), 8)?)?;
    let (t, cond) = (Tensor::full(500f32, batch, &device)?, cond(takes, batch)?);
    time(&format!("train step, batch {batch}"), 10, || {
        Ok(network.forward(&x, &t, &cond)?.sqr()?.mean_all()?.backward()?)
    })
}

/// Conditions of the shapes that a network takes.
fn cond(takes: &models::Takes, b: usize) -> Result<models::Cond> {
    let device = Device::Cpu;
    Ok(models::Cond {
        context: Tensor::randn(0f32, 1.0, (b, 77, takes.context), &device)?,
        pooled: takes.pooled.map(|d| Tensor::randn(0f32, 1.0, (b, d), &device)).transpose()?,
        size: takes.size.then(|| Tensor::full(1024f32, (b, 6), &device)).transpose()?,
        guidance: takes.guidance.then(|| Tensor::full(3.5f32, b, &device)).transpose()?,
    })
}

/// The most memory that this process has held, in 10⁹ bytes (Linux; 0 elsewhere).
fn peak_gigabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: f64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0.0);
    kilobytes * 1024.0 / 1e9
}

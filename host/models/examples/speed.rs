//! Times the networks of a model: `cargo run -p models --example speed -- [FOLDER] [LATENT SIDE] [BATCH]`. `sd15` in
//! place of a folder is the UNet of Stable Diffusion 1.5 with random weights.

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

fn adapters(targets: Vec<models::Target>) -> Result<HashMap<String, Arc<dyn Adapter>>> {
    let mut map = HashMap::new();
    for target in targets {
        let (down, up) = match target.shape {
            TargetKind::Linear { inp, out } => (vec![8, inp], vec![out, 8]),
            TargetKind::Conv { inp, out, kernel: 1 } => (vec![8, inp, 1, 1], vec![out, 8, 1, 1]),
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

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "examples/models/diffusers/embedded-base".into()));
    let side: usize = args.next().map_or(Ok(12), |s| s.parse())?;
    let batch: usize = args.next().map_or(Ok(4), |s| s.parse())?;
    let device = Device::Cpu;
    if folder.as_os_str() == "sd15" {
        let unet = models::UNet::random(models::UNetConfig::sd15(), 1)?;
        let x = Tensor::randn(0f32, 1.0, (batch, 4, side, side), &device)?;
        let (t, context) =
            (Tensor::full(500f32, batch, &device)?, Tensor::randn(0f32, 1.0, (batch, 77, 768), &device)?);
        time(&format!("UNet forward, latents {side}, batch {batch}"), 1, || Ok(unet.forward(&x, &t, &context)?))?;
        let unet = unet.with_adapters(&adapters(unet.targets())?)?;
        return time(&format!("train step, latents {side}, batch {batch}"), 1, || {
            Ok(unet.forward(&x, &t, &context)?.sqr()?.mean_all()?.backward()?)
        });
    }
    let start = Instant::now();
    let model = models::load(&folder, &device, DType::F32)?;
    println!("loaded in {:.2} s; {} threads", start.elapsed().as_secs_f64(), rayon::current_num_threads());
    let width = model.unet.config().cross_attention_dim;
    let noise = |b| Tensor::randn(0f32, 1.0, (b, 4, side, side), &device);
    for b in [1, batch, 2 * batch] {
        let (x, t) = (noise(b)?, Tensor::full(500f32, b, &device)?);
        let context = Tensor::randn(0f32, 1.0, (b, 77, width), &device)?;
        time(&format!("UNet forward, batch {b}"), 10, || Ok(model.unet.forward(&x, &t, &context)?))?;
    }
    let x = noise(batch)?;
    time(&format!("VAE decode, batch {batch}"), 5, || Ok(model.vae.decode(&x)?))?;
    let ids = model.text.tokenize_batch(&vec!["a fox under a tree"; batch])?;
    time(&format!("text encoder, batch {batch}"), 5, || Ok(model.text.encode(&ids)?))?;
    let unet = model.unet.with_adapters(&adapters(model.unet.targets())?)?;
    let text = model.text.with_adapters(&adapters(model.text.targets())?)?;
    let t = Tensor::full(500f32, batch, &device)?;
    let context = model.text.encode(&ids)?.last_hidden;
    time(&format!("train step, batch {batch}"), 10, || {
        Ok(unet.forward(&x, &t, &context)?.sqr()?.mean_all()?.backward()?)
    })?;
    time(&format!("train step with text encoder, batch {batch}"), 10, || {
        let context = text.encode(&ids)?.last_hidden;
        Ok(unet.forward(&x, &t, &context)?.sqr()?.mean_all()?.backward()?)
    })
}

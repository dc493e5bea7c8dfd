//! UNet forward and LoRA train step: the embedded base, and Stable Diffusion 1.5 at full size with random weights.
//!
//! `tests/peers/bench_core.py` runs this and torch on the same work in one call and prints the ratios. The full-size part
//! needs 8 GiB of memory and minutes; leave it out with `cargo bench --workspace --bench core -- embedded`.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use criterion::{Criterion, criterion_group};
use models::{Adapter, Cond, LoraRef, Memory, Network, TargetKind};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Rank of the LoRA on every attention projection, as in the peer's script.
const RANK: usize = 8;

struct Lora(Tensor, Tensor);

impl Adapter for Lora {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        Some(LoraRef { down: &self.0, up: &self.1, scale: 1.0 })
    }
}

/// The UNet with trainable matrices on to_q, to_k, to_v and to_out.
fn with_lora(unet: &Network) -> Network {
    let mut adapters: HashMap<String, Arc<dyn Adapter>> = HashMap::new();
    for target in unet.targets() {
        let TargetKind::Linear { inp, out } = target.shape else { continue };
        if ["to_q", "to_k", "to_v", "to_out.0"].iter().any(|end| target.path.ends_with(end)) {
            let var = |shape| Var::randn(0f32, 0.1, shape, &Device::Cpu).unwrap().as_tensor().clone();
            adapters.insert(target.path, Arc::new(Lora(var((RANK, inp)), var((out, RANK)))));
        }
    }
    assert!(!adapters.is_empty());
    unet.with_adapters(&adapters).unwrap()
}

/// Forward and train step at a latent side and batch size. One thread walks the graph, so it gets a big stack.
fn measure(c: &mut Criterion, name: &str, unet: &Network, side: usize, batch: usize) {
    let device = Device::Cpu;
    let x = Tensor::randn(0f32, 1.0, (batch, 4, side, side), &device).unwrap();
    let t = Tensor::full(500f32, batch, &device).unwrap();
    let context = Tensor::randn(0f32, 1.0, (batch, 77, unet.takes().context), &device).unwrap();
    let context = Cond::text(context);
    c.bench_function(&format!("{name}/forward"), |b| b.iter(|| unet.forward(&x, &t, &context).unwrap()));
    let trained = with_lora(unet);
    c.bench_function(&format!("{name}/train step"), |b| {
        b.iter(|| trained.forward(&x, &t, &context).unwrap().sqr().unwrap().mean_all().unwrap().backward().unwrap());
    });
}

fn embedded(c: &mut Criterion) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/models/diffusers/embedded-base");
    let base = models::load(&folder, &Device::Cpu, DType::F32).unwrap();
    measure(c, "embedded base 12x12 batch 4", &base.network, 12, 4);
}

fn full_size(c: &mut Criterion) {
    // Weights are made only if a name of this part passes the filter.
    let wanted = std::env::args().skip(1).filter(|a| !a.starts_with('-')).all(|a| "sd15 32x32 batch 1".contains(&a));
    if wanted {
        let family = models::FAMILIES.iter().find(|f| f.name == "SD 1.x").unwrap();
        let unet = family.random_network(1, &Memory::unlimited()).unwrap();
        measure(c, "sd15 32x32 batch 1", &unet, 32, 1);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    targets = embedded, full_size
}

fn main() {
    // candle's backward recurses once per operation.
    let thread = std::thread::Builder::new().stack_size(512 << 20);
    thread.spawn(benches).unwrap().join().unwrap();
    Criterion::default().configure_from_args().final_summary();
}

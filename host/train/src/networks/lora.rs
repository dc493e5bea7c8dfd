//! LoRA: down to a few channels and up again, added to what a layer gives.

use super::{Built, Network, Shape};
use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use models::{Adapter, LoraRef, Target, TargetKind};
use sample::rng::TorchCpu;
use std::sync::Arc;

pub(crate) const LORA: Network = Network {
    name: "lora",
    summary: "two small matrices for each layer; understood everywhere",
    source: "Hu et al. 2021 (arXiv:2106.09685); names, shapes and starting weights as sd-scripts networks/lora.py",
    module: "networks.lora",
    build,
};

fn build(target: &Target, shape: &Shape, dice: &mut TorchCpu, device: &Device) -> Result<Built> {
    let rank = shape.rank;
    let (down, up, fan_in) = match target.shape {
        TargetKind::Linear { inp, out } => (vec![rank, inp], vec![out, rank], inp),
        TargetKind::Conv { inp, out, kernel } => {
            (vec![rank, inp, kernel, kernel], vec![out, rank, 1, 1], inp * kernel * kernel)
        }
    };
    let down = Var::from_tensor(&Tensor::from_vec(kaiming(dice, down.iter().product(), fan_in), down, device)?)?;
    let up = Var::from_tensor(&Tensor::zeros(up, DType::F32, device)?)?;
    let adapter = Lora { down: down.clone(), up: up.clone(), scale: shape.alpha / rank as f64 };
    Ok(Built {
        adapter: Arc::new(adapter),
        tensors: vec![("lora_down.weight", down), ("lora_up.weight", up)],
        constants: vec![("alpha", shape.alpha)],
    })
}

/// torch's `kaiming_uniform_(a = √5)`: uniform within ±1/√fan_in, from torch's generator.
pub(crate) fn kaiming(dice: &mut TorchCpu, n: usize, fan_in: usize) -> Vec<f32> {
    let gain = (2.0 / (1.0 + 5.0f64.sqrt().powi(2))).sqrt();
    let bound = (3.0f64.sqrt() * gain / (fan_in as f64).sqrt()) as f32;
    dice.uniform(n, -bound, bound)
}

struct Lora {
    /// (rank, in) or (rank, in, k, k)
    down: Var,
    /// (out, rank) or (out, rank, 1, 1)
    up: Var,
    scale: f64,
}

impl Adapter for Lora {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        Some(LoraRef { down: &self.down, up: &self.up, scale: self.scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_as_torch_does() {
        let path = reference("rng/torch_init.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let seeds = file.names().into_iter().filter_map(|n| n.split_once(".linear_")).collect::<Vec<_>>();
        assert!(!seeds.is_empty());
        for (seed, shape) in seeds {
            let view = file.tensor(&format!("{seed}.linear_{shape}")).unwrap();
            let fan_in = view.shape()[1];
            let seed = seed.trim_start_matches("seed").parse().unwrap();
            let found = kaiming(&mut TorchCpu::new(seed), view.shape().iter().product(), fan_in);
            let wanted = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            for (f, w) in found.iter().zip(wanted) {
                assert!((f - w).abs() < 1e-7, "{f} {w}");
            }
        }
    }

    fn reference(name: &str) -> std::path::PathBuf {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference");
        std::path::PathBuf::from(std::env::var("ANAGAMA_REFERENCE").unwrap_or(default.into())).join(name)
    }
}

//! LoRA: down to a few channels and up again, added to what a layer gives. On kernels of more than a pixel it is LoCon.

use super::{Built, Leaf, Network, Parts, Start};
use anyhow::Result;
use candle_core::{Tensor, Var};
use models::{Adapter, Beneath, LoraRef, TargetKind, ops};
use std::sync::Arc;

pub(crate) const LORA: Network = Network {
    name: "lora",
    summary: "two small matrices for each layer; understood everywhere. On convolutions, too, it is called LoCon",
    source: "Hu et al. 2021 (arXiv:2106.09685); names, shapes, starting weights and dropout as sd-scripts networks/lora.py",
    module: None,
    arguments: &[],
    peft: true,
    neurons: true,
    ups: &["lora_up.weight"],
    factored: false,
    leaves: |kind, shape| leaves(kind, shape.rank),
    alpha: |_, shape| shape.alpha,
    build,
};

/// Kernels stand in the first matrix; the second reads single pixels.
pub(super) fn leaves(kind: &TargetKind, rank: usize) -> Vec<Leaf> {
    let (down, up) = match *kind {
        TargetKind::Linear { inp, out } => (vec![rank, inp], vec![out, rank]),
        TargetKind::Conv { inp, out, kernel } => (vec![rank, inp, kernel, kernel], vec![out, rank, 1, 1]),
    };
    vec![Leaf::new("lora_down.weight", down, Start::Kaiming), Leaf::new("lora_up.weight", up, Start::Zeros)]
}

fn build(parts: Parts) -> Result<Built> {
    let [down, up] = parts.tensors()?;
    Ok(Arc::new(Lora { down, up, parts }))
}

struct Lora {
    /// (rank, in) or (rank, in, k, k)
    down: Var,
    /// (out, rank) or (out, rank, 1, 1)
    up: Var,
    parts: Parts,
}

impl Lora {
    fn whole(&self) -> LoraRef<'_> {
        LoraRef { down: &self.down, up: &self.up, scale: self.parts.scale }
    }
}

impl Adapter for Lora {
    fn as_lora(&self) -> Option<LoraRef<'_>> {
        self.parts.drops.draw().is_none().then(|| self.whole())
    }

    fn apply(&self, layer: &Beneath<'_>) -> models::Result<Tensor> {
        let Some(mut drawn) = self.parts.drops.draw() else { return layer.with_lora(self.whole()) };
        if drawn.whole {
            return layer.output();
        }
        let x = drawn.neurons(layer.through(layer.input(), &self.down)?)?;
        let x = drawn.ranks(x)?;
        let up = self.up.flatten_from(1)?.to_device(x.device())?;
        Ok((layer.output()? + (ops::linear(&x, &up, None)? * self.parts.scale)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::start::kaiming;
    use sample::rng::TorchCpu;

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

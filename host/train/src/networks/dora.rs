//! DoRA: LoRA gives a weight's rows new directions, and a number for each row its length.

use super::{Built, Leaf, Network, Parts, Start};
use anyhow::{Context, Result};
use candle_core::{D, Tensor, Var};
use models::{Adapter, Beneath, LoraRef};
use std::sync::Arc;

pub(crate) const DORA: Network = Network {
    name: "dora",
    summary: "LoRA with a trained length for each row of the weight: closer to training the weight itself, a little slower",
    source: "Liu et al. 2024 (arXiv:2402.09353); names, shapes and starting weights as LyCORIS modules/locon.py with \
             `dora_wd`: lengths of outputs, divided by the norm of W + ΔW, through which the gradient flows, too (the \
             paper and PEFT cut it there)",
    module: Some("lycoris.kohya"),
    arguments: &[("algo", "lora"), ("dora_wd", "True")],
    peft: false,
    neurons: false,
    ups: &["lora_up.weight"],
    factored: false,
    leaves: |kind, shape| {
        let mut leaves = super::lora::leaves(kind, shape.rank);
        let lengths = super::dims(kind).into_iter().enumerate().map(|(i, n)| if i == 0 { n } else { 1 });
        leaves.push(Leaf::new("dora_scale", lengths.collect(), Start::RowNorms));
        leaves
    },
    alpha: |_, shape| shape.alpha,
    build,
};

fn build(mut parts: Parts) -> Result<Built> {
    let [down, up, lengths] = parts.tensors()?;
    let norms = parts.row_norms.take().context("the norms of the weight's rows are missing")?;
    Ok(Arc::new(Dora { down, up, lengths, squares: norms.sqr()?, parts }))
}

struct Dora {
    /// (rank, in) or (rank, in, k, k)
    down: Var,
    /// (out, rank) or (out, rank, 1, 1)
    up: Var,
    /// (out, 1) or (out, 1, 1, 1)
    lengths: Var,
    /// ‖W‖² of each row, (out,)
    squares: Tensor,
    parts: Parts,
}

impl Adapter for Dora {
    /// lengths / ‖W + ΔW‖ · (W + ΔW)·x, without making W + ΔW: its passage is that of LoRA, and with ΔW = s·up·down
    /// ‖W + ΔW‖² = ‖W‖² + 2s·up·(W·downᵀ) + s²·up·(down·downᵀ)·upᵀ for each row.
    fn apply(&self, layer: &Beneath<'_>) -> models::Result<Tensor> {
        let drawn = self.parts.drops.draw();
        if drawn.as_ref().is_some_and(|drawn| drawn.whole) {
            return layer.output();
        }
        let (device, scale) = (layer.input().device(), self.parts.scale);
        let down = self.down.to_device(device)?;
        let mut up = self.up.flatten_from(1)?.to_device(device)?;
        if let Some(rows) = drawn.map(|mut drawn| drawn.rows(up.dims()[0], device)).transpose()?.flatten() {
            up = up.broadcast_mul(&rows.unsqueeze(1)?)?;
        }
        let with_base = (&up * layer.products(&down)?.t()?)?.sum(D::Minus1)?;
        let flat = down.flatten_from(1)?;
        let own = (up.matmul(&flat.matmul(&flat.t()?)?)? * &up)?.sum(D::Minus1)?;
        let squares = ((self.squares.to_device(device)? + (with_base * (2.0 * scale))?)? + (own * scale.powi(2))?)?;
        // A row of zeros stays one, with a finite gradient; f32's epsilon as LyCORIS adds it.
        let norms = ((squares.relu()? + 1e-30)?.sqrt()? + f64::from(f32::EPSILON))?;
        let factor = (self.lengths.flatten_all()?.to_device(device)? / norms)?;
        let y = layer.with_lora(LoraRef { down: &down, up: &up, scale })?;
        Ok(match layer.bias()? {
            Some(bias) => y.broadcast_sub(&bias)?.broadcast_mul(&factor)?.broadcast_add(&bias)?,
            None => y.broadcast_mul(&factor)?,
        })
    }
}

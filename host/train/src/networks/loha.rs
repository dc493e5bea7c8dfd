//! LoHa: the change of a weight is the elementwise product of two matrices of low rank, whose rank is up to the square
//! of theirs.

use super::{Built, Leaf, Network, Parts, Start};
use anyhow::Result;
use candle_core::{Tensor, Var};
use models::{Adapter, Beneath, TargetKind};
use std::sync::Arc;

pub(crate) const LOHA: Network = Network {
    name: "loha",
    summary: "the product of two low-rank changes: more rank for the same size, good for styles and several concepts",
    source: "Hyeon-Woo et al. 2021 (arXiv:2108.06098); names, shapes and starting weights as LyCORIS modules/loha.py \
             without a core",
    module: Some("lycoris.kohya"),
    arguments: &[("algo", "loha")],
    peft: false,
    neurons: false,
    ups: &[],
    factored: false,
    leaves,
    alpha: |_, shape| shape.alpha,
    build,
};

fn leaves(kind: &TargetKind, shape: &super::Shape) -> Vec<Leaf> {
    let ([out, width], rank) = (super::rows(kind), shape.rank);
    // LyCORIS' order, in which the values are drawn.
    vec![
        Leaf::new("hada_w1_b", vec![rank, width], Start::Normal(1.0)),
        Leaf::new("hada_w1_a", vec![out, rank], Start::Normal(0.1)),
        Leaf::new("hada_w2_b", vec![rank, width], Start::Normal(1.0)),
        Leaf::new("hada_w2_a", vec![out, rank], Start::Zeros),
    ]
}

fn build(parts: Parts) -> Result<Built> {
    let [w1_b, w1_a, w2_b, w2_a] = parts.tensors()?;
    Ok(Arc::new(LoHa { w1_b, w1_a, w2_b, w2_a, parts }))
}

/// `a` are (out, rank), `b` (rank, in·k·k).
struct LoHa {
    w1_b: Var,
    w1_a: Var,
    w2_b: Var,
    w2_a: Var,
    parts: Parts,
}

impl Adapter for LoHa {
    fn apply(&self, layer: &Beneath<'_>) -> models::Result<Tensor> {
        let drawn = self.parts.drops.draw();
        if drawn.as_ref().is_some_and(|drawn| drawn.whole) {
            return layer.output();
        }
        let product = (self.w1_a.matmul(&self.w1_b)? * self.w2_a.matmul(&self.w2_b)?)?;
        let change = (product * self.parts.scale)?.reshape(super::dims(&self.parts.kind))?;
        let added = layer.through(layer.input(), &change)?;
        Ok((layer.output()? + self.parts.without_rows(drawn, added)?)?)
    }
}

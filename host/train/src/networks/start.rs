//! Starting weights.

use super::{Leaf, Start};
use anyhow::{Context, Result};
use candle_core::{D, DType, Tensor};
use sample::rng::TorchCpu;

/// The values that a tensor starts with, drawn from torch's generator. `norms` are those of the weight's rows.
pub(super) fn values(leaf: &Leaf, dice: &mut TorchCpu, norms: Option<&Tensor>) -> Result<Vec<f32>> {
    let n: usize = leaf.shape.iter().product();
    Ok(match leaf.start {
        Start::Zeros => vec![0.0; n],
        Start::Kaiming => kaiming(dice, n, leaf.shape[1..].iter().product()),
        Start::Normal(spread) => dice.normal(n, 0.0, spread),
        Start::RowNorms => norms.context("the weight is missing")?.to_vec1()?,
    })
}

/// torch's `kaiming_uniform_(a = √5)`: uniform within ±1/√fan_in.
pub(super) fn kaiming(dice: &mut TorchCpu, n: usize, fan_in: usize) -> Vec<f32> {
    let gain = (2.0 / (1.0 + 5.0f64.sqrt().powi(2))).sqrt();
    let bound = (3.0f64.sqrt() * gain / (fan_in as f64).sqrt()) as f32;
    dice.uniform(n, -bound, bound)
}

/// The norms of a weight's rows (out,), summed in f64.
pub(super) fn row_norms(weight: &Tensor) -> Result<Tensor> {
    let squares = weight.flatten_from(1)?.to_dtype(DType::F64)?.sqr()?.sum(D::Minus1)?;
    Ok(squares.sqrt()?.to_dtype(DType::F32)?)
}

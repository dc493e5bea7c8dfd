//! Differences of a normalisation's weight and bias.

use super::{Change, Kind, Module, On, beside};
use crate::lora::Leaves;
use candle_core::Tensor;

pub(super) const NORM: Kind = Kind {
    name: "norm difference",
    leaves: &["w_norm", "b_norm"],
    marks: &["w_norm", "b_norm"],
    rank: None,
    on: On::Norms,
    formula: "w + w_norm, b + b_norm of a normalisation",
    source: "LyCORIS, `modules/norms.py`; ComfyUI, `lora.py`",
    read,
};

/// Δ of the weight (c), if it changes.
struct Norm(Option<Tensor>);

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    Ok(Module::new(Norm(leaves.get("w_norm")?)))
}

impl Change for Norm {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        if shape.len() != 1 {
            return Err(format!("expected a change of a weight {}, found one of a normalisation", super::words(shape)));
        }
        self.0.as_ref().map_or(Ok(()), |tensor| super::diff::same(shape, tensor.dims()))
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        self.0.as_ref().map(|tensor| beside(tensor, weight)).transpose()
    }

    fn changes_weight(&self) -> bool {
        self.0.is_some()
    }
}

//! Whole differences of weights and biases, as programs that compare or fine-tune checkpoints store them.

use super::{Change, Kind, Module, On, beside};
use crate::lora::{Leaves, Stored};
use candle_core::Tensor;

pub(super) const DIFF: Kind = Kind {
    name: "full difference",
    leaves: &["diff", "diff_b", "set_weight"],
    marks: &["diff", "diff_b", "set_weight"],
    rank: None,
    on: On::All,
    formula: "W + diff; set_weight takes the place of W; diff_b is added to the bias",
    source: "LyCORIS, `modules/full.py`; ComfyUI, `lora.py`. ComfyUI ignores the strength of set_weight, here it blends",
    read,
};

/// Differences are read when they are used: those of all layers take as much memory as a checkpoint.
enum Whole {
    Add(Stored),
    Set(Stored),
    /// The bias alone changes.
    Nothing,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let change = match (leaves.stored("diff")?, leaves.stored("set_weight")?) {
        (Some(diff), None) => Whole::Add(diff),
        (None, Some(set)) => Whole::Set(set),
        (None, None) => Whole::Nothing,
        (Some(_), Some(_)) => return Err(format!("`{}` has both diff and set_weight", leaves.module)),
    };
    Ok(Module::new(change))
}

impl Change for Whole {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let (Whole::Add(stored) | Whole::Set(stored)) = self else { return Ok(()) };
        same(shape, stored.shape())
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        match self {
            Whole::Add(diff) => Ok(Some(beside(&diff.tensor()?, weight)?)),
            Whole::Set(set) => Ok(Some((beside(&set.tensor()?, weight)?.reshape(weight.shape())? - weight)?)),
            Whole::Nothing => Ok(None),
        }
    }

    fn changes_weight(&self) -> bool {
        !matches!(self, Whole::Nothing)
    }
}

/// That a change has the weight's shape, up to ones: programs store 1×1 kernels as matrices too.
pub(super) fn same(shape: &[usize], found: &[usize]) -> Result<(), String> {
    let without = |shape: &[usize]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    if without(shape) == without(found) {
        return Ok(());
    }
    Err(format!("expected a change of a weight {}, found {}", super::words(shape), super::words(found)))
}

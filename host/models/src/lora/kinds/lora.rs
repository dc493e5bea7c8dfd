//! LoRA, and LoCon without a core: two matrices, down to a rank and up again.

use super::{Change, Kind, Module, On, agree, fits_rows, matrix, scale, sides};
use crate::lora::Leaves;
use candle_core::Tensor;

pub(super) const LORA: Kind = Kind {
    name: "LoRA, LoCon",
    leaves: &["lora_down", "lora_up", "alpha", "lora_up_bias"],
    marks: &["lora_down", "lora_up"],
    rank: None,
    on: On::Layers,
    formula: "W + (alpha/r)·up·down",
    source: "Hu et al. 2021 (arXiv:2106.09685); 3×3 kernels in `down`, 1×1 in `up`: LyCORIS, `modules/locon.py`. \
             Without an alpha the factor is 1",
    read,
};

struct LowRank {
    /// (r, in·kernel)
    down: Tensor,
    /// (out, r)
    up: Tensor,
    scale: f64,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let whole = leaves.need("lora_down")?;
    let (down, up) = (matrix(leaves, "lora_down")?, matrix(leaves, "lora_up")?);
    let (rank, columns) = sides(&up);
    agree(leaves, "the rank", sides(&down).0, columns)?;
    let scale = scale(leaves, columns)?;
    // PEFT's `lora_bias`: the bias stands within what the factor scales.
    let bias = match leaves.get("lora_up_bias")? {
        Some(bias) => Some((bias.flatten_all().map_err(|e| e.to_string())? * scale).map_err(|e| e.to_string())?),
        None => None,
    };
    agree(leaves, "the number of outputs", rank, bias.as_ref().map_or(rank, Tensor::elem_count))?;
    let kernel = whole.dims()[2..].to_vec();
    Ok(Module { bias, ..Module::new(Kernel { kernel, low: LowRank { down, up, scale } }) })
}

/// Two matrices of which the first may be a kernel.
struct Kernel {
    low: LowRank,
    /// Height and width, or nothing.
    kernel: Vec<usize>,
}

impl Change for Kernel {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let expected = shape.get(2..).unwrap_or_default();
        // 1×1 kernels and matrices stand for each other: programs store them either way.
        let one = |kernel: &[usize]| kernel.iter().all(|&k| k == 1);
        if expected != self.kernel.as_slice() && !(one(expected) && one(&self.kernel)) {
            return Err(format!("expected a kernel of {expected:?}, found {:?}", self.kernel));
        }
        fits_rows(shape, sides(&self.low.up).0, sides(&self.low.down).1)
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (up, down) = (super::beside(&self.low.up, weight)?, super::beside(&self.low.down, weight)?);
        Ok(Some((up.matmul(&down)? * self.low.scale)?))
    }

    fn low_rank(&self) -> Option<(&Tensor, &Tensor, f64)> {
        Some((&self.low.down, &self.low.up, self.low.scale))
    }
}

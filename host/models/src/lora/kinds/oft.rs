//! Diag-OFT: the outputs of a layer are rotated, block by block.

use super::{Change, Kind, Module, On, beside};
use crate::lora::{Leaves, math};
use candle_core::Tensor;

pub(super) const DIAG_OFT: Kind = Kind {
    name: "Diag-OFT",
    leaves: &["oft_blocks", "rescale", "alpha"],
    marks: &["oft_blocks"],
    rank: None,
    on: On::Layers,
    formula: "rescale·Rᵀ·W with R = (1 + Q)·(1 − Q)⁻¹, Q = B − Bᵀ for each block B (n, s, s); alpha > 0 bounds the norm of \
              all Q by alpha·n·s",
    source: "Qiu et al. 2023 (arXiv:2306.07280); LyCORIS, `modules/diag_oft.py`. ComfyUI bounds by alpha alone, leaves \
             `rescale` out and multiplies by the strength twice",
    read,
};

pub(super) struct Rescale(Option<Tensor>);

struct DiagOft {
    /// Rᵀ (n, s, s)
    turned: Tensor,
    rescale: Rescale,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let blocks = leaves.need("oft_blocks")?;
    let [count, size, other] = *blocks.dims() else {
        return Err(format!("`{}`: expected blocks (n, s, s), found {:?}", leaves.module, blocks.dims()));
    };
    super::agree(leaves, "the side of a block", size, other)?;
    let rescale = Rescale::read(leaves)?;
    let limit = leaves.number("alpha")?.unwrap_or(0.0) * (count * size) as f64;
    let rotations = math::rotations(&blocks, limit).map_err(|e| format!("`{}`: {e}", leaves.module))?;
    let turned = rotations.transpose(1, 2).and_then(|r| r.contiguous()).map_err(|e| e.to_string())?;
    Ok(Module::new(DiagOft { turned, rescale }))
}

impl Change for DiagOft {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let (count, size) = (self.turned.dims()[0], self.turned.dims()[1]);
        outputs(shape, count * size, &format!("{count} blocks of {size}"))?;
        self.rescale.fits(shape)
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (count, size, _) = self.turned.dims3()?;
        // (out, …) → (n, s, rest)
        let rotated = beside(&self.turned, weight)?.matmul(&weight.reshape((count, size, ()))?.contiguous()?)?;
        let rotated = self.rescale.apply(&rotated.reshape(weight.shape())?)?;
        Ok(Some((rotated - weight)?))
    }
}

/// That the weight has this many outputs.
pub(super) fn outputs(shape: &[usize], found: usize, what: &str) -> Result<(), String> {
    match shape {
        [out, _, ..] if *out == found => Ok(()),
        _ => Err(format!("expected a change of a weight {}, found {what}", super::words(shape))),
    }
}

impl Rescale {
    pub(super) fn read(leaves: &mut Leaves) -> Result<Rescale, String> {
        let rescale = leaves.get("rescale")?.map(|tensor| tensor.flatten_all()).transpose();
        Ok(Rescale(rescale.map_err(|e| e.to_string())?))
    }

    pub(super) fn fits(&self, shape: &[usize]) -> Result<(), String> {
        match &self.0 {
            Some(rescale) => outputs(shape, rescale.elem_count(), &format!("{} sizes", rescale.elem_count())),
            None => Ok(()),
        }
    }

    /// The weight with each output's size changed.
    pub(super) fn apply(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        let Some(rescale) = &self.0 else { return Ok(weight.clone()) };
        let mut shape = vec![1; weight.rank()];
        shape[0] = rescale.elem_count();
        weight.broadcast_mul(&beside(rescale, weight)?.reshape(shape)?)
    }
}

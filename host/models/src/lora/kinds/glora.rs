//! GLoRA: a low-rank matrix on the inputs, and one beside the weight.

use super::{Change, Kind, Module, On, agree, beside, fits_rows, matrix, scale, sides};
use crate::lora::{Leaves, math};
use candle_core::Tensor;

pub(super) const GLORA: Kind = Kind {
    name: "GLoRA",
    leaves: &["a1", "a2", "b1", "b2", "bm", "alpha"],
    marks: &["a1", "a2", "b1", "b2"],
    rank: None,
    on: On::Layers,
    formula: "W + (alpha/r)·(W·a1·a2 + b1·b2); a file of the first LyCORIS has the pairs the other way round",
    source: "Chavan et al. 2023 (arXiv:2306.07967); LyCORIS, `modules/glora.py`; ComfyUI, `weight_adapter/glora.py`",
    read,
};

struct GLoRA {
    /// (in, r)·(r, in)
    inputs: (Tensor, Tensor),
    /// (out, r)·(r, in·kernel)
    beside: (Tensor, Tensor),
    /// Core of a kernel (r, r, k, k) between the latter.
    core: Option<Tensor>,
    scale: f64,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let (a1, a2) = (matrix(leaves, "a1")?, matrix(leaves, "a2")?);
    let (b1, b2) = (matrix(leaves, "b1")?, matrix(leaves, "b2")?);
    let core = leaves.get("bm")?;
    let rank = sides(&a1).1;
    let new = sides(&a2).0 == rank && sides(&b1).1 == rank && sides(&b2).0 == rank;
    let (inputs, beside, rank) = if new {
        ((a1, a2), (b1, b2), rank)
    } else {
        let rank = sides(&a1).0;
        agree(leaves, "the rank", rank, sides(&a2).1)?;
        agree(leaves, "the rank", rank, sides(&b1).0)?;
        agree(leaves, "the rank", rank, sides(&b2).1)?;
        ((a2, a1), (b2, b1), rank)
    };
    agree(leaves, "the number of inputs", sides(&inputs.0).0, sides(&inputs.1).1)?;
    if let Some(core) = &core
        && !matches!(*core.dims(), [p, q, _, _] if p == rank && q == rank)
    {
        return Err(format!("`{}`: expected a core ({rank}, {rank}, k, k), found {:?}", leaves.module, core.dims()));
    }
    Ok(Module::new(GLoRA { inputs, beside, core, scale: scale(leaves, rank)? }))
}

impl Change for GLoRA {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let places = self.core.as_ref().map_or(1, |core| core.dims()[2..].iter().product::<usize>());
        fits_rows(shape, sides(&self.beside.0).0, sides(&self.beside.1).1 * places)?;
        let inputs = sides(&self.inputs.0).0;
        if shape.get(1) == Some(&inputs) {
            return Ok(());
        }
        Err(format!("expected a change of a weight of {:?} inputs, found one of {inputs}", shape.get(1)))
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let [a1, a2, b1, b2] =
            [&self.inputs.0, &self.inputs.1, &self.beside.0, &self.beside.1].map(|tensor| beside(tensor, weight));
        let free = match &self.core {
            None => b1?.matmul(&b2?)?,
            Some(core) => {
                let left = b1?.t()?.contiguous()?;
                math::rows(&math::tucker(&beside(core, weight)?, &left, &b2?)?)?
            }
        };
        let (out, inp) = (weight.dim(0)?, weight.dim(1)?);
        let places = weight.elem_count() / (out * inp);
        // (out, in, places) → (out·places, in), so that the inputs are last.
        let turned = weight.reshape((out, inp, places))?.transpose(1, 2)?.contiguous()?.reshape((out * places, inp))?;
        let through = turned.matmul(&a1?)?.matmul(&a2?)?;
        let through = through.reshape((out, places, inp))?.transpose(1, 2)?.contiguous()?.reshape(free.shape())?;
        Ok(Some(((through + free)? * self.scale)?))
    }
}

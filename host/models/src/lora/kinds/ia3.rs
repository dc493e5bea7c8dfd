//! IA3: each output or each input of a layer gets a factor.

use super::{Change, Kind, Module, On, beside};
use crate::lora::Leaves;
use candle_core::Tensor;

pub(super) const IA3: Kind = Kind {
    name: "IA3",
    leaves: &["on_input", "weight"],
    marks: &["on_input"],
    rank: None,
    on: On::Layers,
    formula: "W + W·weight, over the inputs where on_input is 1, else over the outputs",
    source: "Liu et al. 2022 (arXiv:2205.05638); LyCORIS, `modules/ia3.py`. ComfyUI does not read it",
    read,
};

struct Ia3 {
    /// (in) or (out)
    factors: Tensor,
    on_input: bool,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let factors = leaves.need("weight")?.flatten_all().map_err(|e| e.to_string())?;
    let on_input = leaves.number("on_input")?.unwrap_or(0.0) != 0.0;
    Ok(Module::new(Ia3 { factors, on_input }))
}

impl Change for Ia3 {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let side = if self.on_input { "inputs" } else { "outputs" };
        match shape {
            [out, inp, ..] if self.factors.elem_count() == if self.on_input { *inp } else { *out } => Ok(()),
            _ => Err(format!(
                "expected a change of a weight {}, found factors of {} {side}",
                super::words(shape),
                self.factors.elem_count()
            )),
        }
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let mut shape = vec![1; weight.rank()];
        shape[usize::from(self.on_input)] = self.factors.elem_count();
        Ok(Some(weight.broadcast_mul(&beside(&self.factors, weight)?.reshape(shape)?)?))
    }
}

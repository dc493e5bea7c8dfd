//! DoRA: another kind's change, after which each output or input gets a size that was trained by itself.

use super::{Change, KINDS, Kind, Module, On, of};
use crate::lora::Leaves;
use candle_core::Tensor;
use std::sync::Arc;

pub(super) const DORA: Kind = Kind {
    name: "DoRA",
    leaves: &["dora_scale", "lora_down", "lora_up", "alpha"],
    marks: &["dora_scale"],
    rank: None,
    on: On::Layers,
    formula: "dora_scale·(W + Δ)/‖W + Δ‖ for each output, or each input where dora_scale is (1, in); Δ of any other kind",
    source: "Liu et al. 2024 (arXiv:2402.09353); LyCORIS, `modules/locon.py`, `apply_weight_decompose`, and PEFT. \
             ComfyUI divides by ‖W‖ where the sizes are those of outputs: an option. At strengths other than 0 and 1 \
             the whole change is scaled, as ComfyUI does; LyCORIS blends the factor",
    read,
};

/// What a DoRA's sizes are divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DoraNorm {
    /// The norm of the changed weight, as in the paper, LyCORIS and PEFT: what the file was trained with.
    #[default]
    LyCoris,
    /// The norm of the weight before the change where the sizes are those of outputs, as ComfyUI does.
    ComfyUi,
}

/// DoRA's sizes.
#[derive(Clone)]
pub(crate) struct Magnitude {
    /// (out) or (in)
    sizes: Tensor,
    on_input: bool,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let scale = leaves.need("dora_scale")?;
    // (out, 1, …) or (1, in, …). A tensor of one dimension is PEFT's, which are sizes of outputs; so are its (1, out, 1, 1)
    // of convolutions, which its key tells from LyCORIS' (1, in, 1, 1).
    let peft = leaves.keys.get("dora_scale").is_some_and(|key| key.contains("lora_magnitude_vector"));
    let on_input = !peft && scale.rank() > 1 && scale.dims()[0] == 1 && scale.elem_count() > 1;
    let long = scale.dims().iter().filter(|&&d| d != 1).count();
    if long > 1 {
        return Err(format!("`{}`: expected dora_scale (out, 1) or (1, in), found {:?}", leaves.module, scale.dims()));
    }
    let sizes = scale.flatten_all().map_err(|e| e.to_string())?;
    // The first row is DoRA itself.
    let module = (of(leaves, &KINDS[1..])?.read)(leaves)?;
    Ok(Module { magnitude: Some(Magnitude { sizes, on_input }), ..module })
}

/// A change with DoRA's sizes.
pub(crate) struct Dora {
    pub(crate) inner: Arc<dyn Change>,
    pub(crate) magnitude: Magnitude,
    pub(crate) norm: DoraNorm,
}

impl Change for Dora {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        self.inner.fits(shape)?;
        let (found, side) = (self.magnitude.sizes.elem_count(), usize::from(self.magnitude.on_input));
        match shape {
            [_, _, ..] if shape[side] == found => Ok(()),
            _ => Err(format!(
                "expected a change of a weight {}, found sizes of {found} {}",
                super::words(shape),
                if side == 1 { "inputs" } else { "outputs" }
            )),
        }
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let Some(delta) = self.inner.delta(weight)? else { return Ok(None) };
        let changed = (weight + delta.reshape(weight.shape())?)?;
        let on_input = self.magnitude.on_input;
        let from = if self.norm == DoraNorm::ComfyUi && !on_input { weight } else { &changed };
        // The size of each output, or input: over all dimensions but its own, which stay as ones.
        let side = usize::from(on_input);
        let mut square = from.sqr()?;
        for dim in (0..weight.rank()).filter(|&dim| dim != side) {
            square = square.sum_keepdim(dim)?;
        }
        // f32's epsilon, as both peers add it: a row of zeros stays one.
        let norm = (square.sqrt()? + f64::from(f32::EPSILON))?;
        let sizes = super::beside(&self.magnitude.sizes, weight)?.reshape(norm.shape())?;
        Ok(Some((changed.broadcast_mul(&(sizes / norm)?)? - weight)?))
    }
}

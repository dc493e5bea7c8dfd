//! LoCon with a core: Tucker's decomposition of a kernel.

use super::{Change, Kind, Module, On, agree, beside, fits_rows, matrix, scale, sides};
use crate::lora::{Leaves, math};
use candle_core::Tensor;

pub(super) const TUCKER: Kind = Kind {
    name: "LoCon (Tucker)",
    leaves: &["lora_mid", "lora_down", "lora_up", "alpha"],
    marks: &["lora_mid"],
    rank: None,
    on: On::Kernels,
    formula: "W + (alpha/r)·Σ mid[p, q]·up[:, p]·down[q, :]",
    source: "LyCORIS, `modules/locon.py`, `make_weight` with a core",
    read,
};

struct Tucker {
    /// (p, q, k, k)
    mid: Tensor,
    /// (q, in)
    down: Tensor,
    /// (p, out)
    up: Tensor,
    scale: f64,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let (mid, down, up) = (leaves.need("lora_mid")?, matrix(leaves, "lora_down")?, matrix(leaves, "lora_up")?);
    let [p, q, _, _] = *mid.dims() else {
        return Err(format!("`{}`: expected a core (r, r, k, k), found {:?}", leaves.module, mid.dims()));
    };
    agree(leaves, "the rank", sides(&up).1, p)?;
    agree(leaves, "the rank", sides(&down).0, q)?;
    let scale = scale(leaves, q)?;
    let up = up.t().and_then(|up| up.contiguous()).map_err(|e| e.to_string())?;
    Ok(Module::new(Tucker { mid, down, up, scale }))
}

impl Change for Tucker {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let places: usize = self.mid.dims()[2..].iter().product();
        fits_rows(shape, sides(&self.up).1, sides(&self.down).1 * places)
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let [mid, up, down] = [&self.mid, &self.up, &self.down].map(|tensor| beside(tensor, weight));
        Ok(Some((math::tucker(&mid?, &up?, &down?)? * self.scale)?))
    }
}

//! BOFT: the outputs of a layer are rotated in several steps, each of which mixes others, like the butterflies of a fast
//! Fourier transform.

use super::oft::{Rescale, outputs};
use super::{Change, Kind, Module, On, beside};
use crate::lora::{Leaves, math};
use candle_core::Tensor;

pub(super) const BOFT: Kind = Kind {
    name: "BOFT",
    leaves: &["oft_blocks", "rescale", "alpha"],
    marks: &["oft_blocks"],
    rank: Some(4),
    on: On::Layers,
    formula: "rescale·R₍m₎·…·R₍1₎·W, each R₍i₎ of blocks (n, b, b) over outputs that lie 2ⁱ·b/2 apart",
    source: "Liu et al. 2023 (arXiv:2311.06243); LyCORIS, `modules/boft.py`. At strengths other than 0 and 1 LyCORIS and \
             ComfyUI blend each step, here the whole change is scaled as for every other kind",
    read,
};

struct Boft {
    /// (m, n, b, b)
    rotations: Tensor,
    rescale: Rescale,
}

pub(super) fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let blocks = leaves.need("oft_blocks")?;
    let [steps, count, size, other] = *blocks.dims() else {
        return Err(format!("`{}`: expected blocks (m, n, b, b), found {:?}", leaves.module, blocks.dims()));
    };
    super::agree(leaves, "the side of a block", size, other)?;
    let out = count * size;
    // Step i pairs groups of 2ⁱ·b/2 outputs.
    let last = u32::try_from(steps - 1).ok().and_then(|i| 2usize.checked_pow(i)).and_then(|p| p.checked_mul(size));
    if size % 2 != 0 || last.is_none_or(|pair| out % pair != 0) {
        return Err(format!(
            "`{}`: {count} blocks of {size} cannot be mixed in {steps} steps: expected an even side and steps that \
             halve the outputs",
            leaves.module
        ));
    }
    let rescale = Rescale::read(leaves)?;
    let limit = leaves.number("alpha")?.unwrap_or(0.0) * out as f64;
    let rotations = math::rotations(&blocks, limit).map_err(|e| format!("`{}`: {e}", leaves.module))?;
    Ok(Module::new(Boft { rotations, rescale }))
}

impl Change for Boft {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let (count, size) = (self.rotations.dims()[1], self.rotations.dims()[2]);
        outputs(shape, count * size, &format!("{count} blocks of {size}"))?;
        self.rescale.fits(shape)
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (steps, count, size, _) = self.rotations.dims4()?;
        let rest = weight.elem_count() / (count * size);
        let rotations = beside(&self.rotations, weight)?;
        let mut turned = weight.reshape((count * size, rest))?;
        for step in 0..steps {
            let apart = (1 << step) * size / 2;
            let pairs = count * size / (2 * apart);
            // (pairs, 2, apart, rest) → (pairs, apart, 2, rest): outputs that lie `apart` stand beside each other.
            let mixed = turned.reshape((pairs, 2, apart, rest))?.transpose(1, 2)?.contiguous()?;
            let mixed = rotations.get(step)?.contiguous()?.matmul(&mixed.reshape((count, size, rest))?)?;
            let back = mixed.reshape((pairs, apart, 2, rest))?.transpose(1, 2)?.contiguous()?;
            turned = back.reshape((count * size, rest))?;
        }
        let turned = self.rescale.apply(&turned.reshape(weight.shape())?)?;
        Ok(Some((turned - weight)?))
    }
}

//! LoKr: a Kronecker product of two matrices, each full or of low rank.

use super::{Change, Kind, Module, On, agree, beside, fits_rows, matrix, sides};
use crate::lora::{Leaves, math};
use candle_core::Tensor;

pub(super) const LOKR: Kind = Kind {
    name: "LoKr",
    leaves: &["lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "alpha"],
    marks: &["lokr_w1", "lokr_w1_a", "lokr_w2", "lokr_w2_a"],
    rank: None,
    on: On::Layers,
    formula: "W + (alpha/r)·w1⊗w2, w1 and w2 full or of rank r, w2 perhaps with a core t2; without the factor where \
              both are full",
    source: "Yeh et al. 2023 (arXiv:2309.14859); LyCORIS, `modules/lokr.py`; ComfyUI, `weight_adapter/lokr.py`",
    read,
};

/// One of the two factors.
enum Factor {
    /// (b, d) or (b, d·kernel)
    Full(Tensor),
    /// (b, r)·(r, d·kernel)
    LowRank(Tensor, Tensor),
    /// (p, q, k, k), (p, b), (q, d)
    Tucker(Tensor, Tensor, Tensor),
}

struct LoKr {
    first: Factor,
    second: Factor,
    scale: f64,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let first = factor(leaves, "lokr_w1", "lokr_w1_a", "lokr_w1_b", None)?;
    let second = factor(leaves, "lokr_w2", "lokr_w2_a", "lokr_w2_b", Some("lokr_t2"))?;
    // With both of low rank the ranks are the same; ComfyUI reads the second's.
    let rank = second.rank().or_else(|| first.rank());
    let alpha = leaves.number("alpha")?;
    let scale = match (alpha, rank) {
        (Some(alpha), Some(rank)) => alpha / rank as f64,
        _ => 1.0,
    };
    Ok(Module::new(LoKr { first, second, scale }))
}

fn factor(
    leaves: &mut Leaves,
    full: &'static str,
    a: &'static str,
    b: &'static str,
    core: Option<&'static str>,
) -> Result<Factor, String> {
    if leaves.has(full) {
        return Ok(Factor::Full(matrix(leaves, full)?));
    }
    let (a, b) = (matrix(leaves, a)?, matrix(leaves, b)?);
    let core = match core {
        Some(core) => leaves.get(core)?,
        None => None,
    };
    let Some(core) = core else {
        agree(leaves, "the rank", sides(&a).1, sides(&b).0)?;
        return Ok(Factor::LowRank(a, b));
    };
    let [p, q, _, _] = *core.dims() else {
        return Err(format!("`{}`: expected a core (r, r, k, k), found {:?}", leaves.module, core.dims()));
    };
    agree(leaves, "the rank", sides(&a).0, p)?;
    agree(leaves, "the rank", sides(&b).0, q)?;
    Ok(Factor::Tucker(core, a, b))
}

impl Factor {
    fn rank(&self) -> Option<usize> {
        match self {
            Factor::Full(_) => None,
            Factor::LowRank(_, b) | Factor::Tucker(_, _, b) => Some(sides(b).0),
        }
    }

    /// Rows, and values per row.
    fn extent(&self) -> (usize, usize) {
        match self {
            Factor::Full(full) => sides(full),
            Factor::LowRank(a, b) => (sides(a).0, sides(b).1),
            Factor::Tucker(core, a, b) => (sides(a).1, sides(b).1 * core.dims()[2..].iter().product::<usize>()),
        }
    }

    /// As a matrix; a kernel's places stay within a row.
    fn full(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Factor::Full(full) => beside(full, weight),
            Factor::LowRank(a, b) => beside(a, weight)?.matmul(&beside(b, weight)?),
            Factor::Tucker(core, a, b) => {
                let [core, a, b] = [core, a, b].map(|tensor| beside(tensor, weight));
                math::rows(&math::tucker(&core?, &a?, &b?)?)
            }
        }
    }
}

impl Change for LoKr {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let ((a, c), (b, d)) = (self.first.extent(), self.second.extent());
        fits_rows(shape, a.saturating_mul(b), c.saturating_mul(d))
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        // The product of (a, c) and (b, d, k, k) is (a·b, c·d, k, k), whose rows lie in memory as those of (a·b, c·d·k·k).
        let product = math::kron(&self.first.full(weight)?, &self.second.full(weight)?)?;
        Ok(Some((product * self.scale)?))
    }
}

//! LoHa: the elementwise product of two low-rank matrices.

use super::{Change, Kind, Module, On, agree, beside, fits_rows, matrix, scale, sides};
use crate::lora::{Leaves, math};
use candle_core::Tensor;

pub(super) const LOHA: Kind = Kind {
    name: "LoHa",
    leaves: &["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "alpha"],
    marks: &["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"],
    rank: None,
    on: On::Layers,
    formula: "W + (alpha/r)·(w1_a·w1_b)∘(w2_a·w2_b), each with its core t where there is one",
    source: "Hyeon-Woo et al. 2021 (arXiv:2108.06098); LyCORIS, `functional/loha.py`",
    read,
};

/// One of the two factors.
enum Half {
    /// (out, r)·(r, in·kernel)
    Matrices(Tensor, Tensor),
    /// (p, q, k, k), (p, out), (q, in)
    Tucker(Tensor, Tensor, Tensor),
}

struct LoHa {
    halves: [Half; 2],
    scale: f64,
}

fn read(leaves: &mut Leaves) -> Result<Module, String> {
    let first = half(leaves, "hada_w1_a", "hada_w1_b", "hada_t1")?;
    let second = half(leaves, "hada_w2_a", "hada_w2_b", "hada_t2")?;
    agree(leaves, "the number of outputs", first.extent().0, second.extent().0)?;
    agree(leaves, "the number of inputs", first.extent().1, second.extent().1)?;
    let rank = sides(&matrix(leaves, "hada_w1_b")?).0;
    Ok(Module::new(LoHa { halves: [first, second], scale: scale(leaves, rank)? }))
}

fn half(leaves: &mut Leaves, a: &'static str, b: &'static str, core: &'static str) -> Result<Half, String> {
    let (a, b) = (matrix(leaves, a)?, matrix(leaves, b)?);
    let Some(core) = leaves.get(core)? else {
        agree(leaves, "the rank", sides(&a).1, sides(&b).0)?;
        return Ok(Half::Matrices(a, b));
    };
    let [p, q, _, _] = *core.dims() else {
        return Err(format!("`{}`: expected a core (r, r, k, k), found {:?}", leaves.module, core.dims()));
    };
    agree(leaves, "the rank", sides(&a).0, p)?;
    agree(leaves, "the rank", sides(&b).0, q)?;
    Ok(Half::Tucker(core, a, b))
}

impl Half {
    /// Outputs, and values per output.
    fn extent(&self) -> (usize, usize) {
        match self {
            Half::Matrices(a, b) => (sides(a).0, sides(b).1),
            Half::Tucker(core, a, b) => (sides(a).1, sides(b).1 * core.dims()[2..].iter().product::<usize>()),
        }
    }

    /// (out, in·kernel)
    fn full(&self, weight: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Half::Matrices(a, b) => beside(a, weight)?.matmul(&beside(b, weight)?),
            Half::Tucker(core, a, b) => {
                let [core, a, b] = [core, a, b].map(|tensor| beside(tensor, weight));
                math::rows(&math::tucker(&core?, &a?, &b?)?)
            }
        }
    }
}

impl Change for LoHa {
    fn fits(&self, shape: &[usize]) -> Result<(), String> {
        let (out, rest) = self.halves[0].extent();
        fits_rows(shape, out, rest)
    }

    fn delta(&self, weight: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let product = (self.halves[0].full(weight)? * self.halves[1].full(weight)?)?;
        Ok(Some((product * self.scale)?))
    }
}

//! LoKr: the change of a weight is the Kronecker product of a small matrix and a larger one, which is itself of low rank
//! unless it is small.

use super::{Built, Leaf, Network, Parts, Shape, Start};
use anyhow::{Result, bail};
use candle_core::{D, Tensor, Var};
use models::{Adapter, Beneath, TargetKind, ops};
use std::sync::Arc;

pub(crate) const LOKR: Network = Network {
    name: "lokr",
    summary: "a Kronecker product: small files that change a weight at full rank; the factor sets the size of the blocks",
    source: "Yeh et al. 2023 (arXiv:2309.14859); names, shapes and starting weights as LyCORIS modules/lokr.py without a \
             core, with the first factor in full",
    module: Some("lycoris.kohya"),
    arguments: &[("algo", "lokr")],
    peft: false,
    neurons: false,
    ups: &[],
    factored: true,
    leaves,
    alpha,
    build,
};

/// What a weight (out, in) is cut into: out = a·b, in = c·d, for factors (a, c) and (b, d).
struct Cut {
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    /// Places of the kernel.
    places: usize,
}

impl Cut {
    fn of(kind: &TargetKind, shape: &Shape) -> Cut {
        let (inp, out, places) = match *kind {
            TargetKind::Linear { inp, out } => (inp, out, 1),
            TargetKind::Conv { inp, out, kernel } => (inp, out, kernel * kernel),
        };
        let ((c, d), (a, b)) = (factors(inp, shape.factor), factors(out, shape.factor));
        Cut { a, b, c, d, places }
    }

    /// The second factor is kept whole where a product of two matrices of this rank would hardly be smaller.
    fn full(&self, rank: usize) -> bool {
        2 * rank >= self.b.max(self.d)
    }
}

/// A number as two factors, the smaller first: the given one if it divides, else the two nearest to each other of which
/// the first is not above it. LyCORIS, functional/general.py, `factorization`.
fn factors(n: usize, factor: Option<usize>) -> (usize, usize) {
    if let Some(factor) = factor.filter(|&factor| factor > 0 && n.is_multiple_of(factor)) {
        return (factor.min(n / factor), factor.max(n / factor));
    }
    let limit = factor.unwrap_or(n);
    let small = (1..=limit).take_while(|m| m * m <= n).filter(|m| n.is_multiple_of(*m)).last().unwrap_or(1);
    (small, n / small)
}

fn leaves(kind: &TargetKind, shape: &Shape) -> Vec<Leaf> {
    let (cut, rank) = (Cut::of(kind, shape), shape.rank);
    let second = if cut.full(rank) {
        let mut whole = vec![cut.b, cut.d];
        whole.extend(&super::dims(kind)[2..]);
        vec![Leaf::new("lokr_w2", whole, Start::Zeros)]
    } else {
        vec![
            Leaf::new("lokr_w2_a", vec![cut.b, rank], Start::Kaiming),
            Leaf::new("lokr_w2_b", vec![rank, cut.d * cut.places], Start::Zeros),
        ]
    };
    // LyCORIS' order, in which the values are drawn.
    second.into_iter().chain([Leaf::new("lokr_w1", vec![cut.a, cut.c], Start::Kaiming)]).collect()
}

/// Between two whole matrices nothing has a rank: the scale is 1.
fn alpha(kind: &TargetKind, shape: &Shape) -> f64 {
    if Cut::of(kind, shape).full(shape.rank) { shape.rank as f64 } else { shape.alpha }
}

fn build(parts: Parts) -> Result<Built> {
    let second = match parts.vars.as_slice() {
        [whole, _] => Second::Full(whole.clone()),
        [a, b, _] => Second::LowRank(a.clone(), b.clone()),
        other => bail!("expected two or three tensors, found {}", other.len()),
    };
    let Some(first) = parts.vars.last().cloned() else { bail!("expected two or three tensors, found none") };
    Ok(Arc::new(LoKr { first, second, parts }))
}

/// The larger factor.
enum Second {
    /// (b, d) or (b, d, k, k)
    Full(Var),
    /// (b, rank), (rank, d·k·k)
    LowRank(Var, Var),
}

struct LoKr {
    /// (a, c)
    first: Var,
    second: Second,
    parts: Parts,
}

impl LoKr {
    /// `x` (…, d) of a linear layer or (n, h, w, d) of a convolution through the second factor: d → b.
    fn second(&self, layer: &Beneath<'_>, x: &Tensor, d: usize) -> models::Result<Tensor> {
        match &self.second {
            Second::Full(whole) => layer.through(x, whole),
            Second::LowRank(a, b) => {
                let mut shape = super::dims(&self.parts.kind);
                (shape[0], shape[1]) = (b.dim(0)?, d);
                let x = layer.through(x, &b.reshape(shape)?)?;
                Ok(ops::linear(&x, &a.to_device(x.device())?, None)?)
            }
        }
    }
}

impl Adapter for LoKr {
    /// With in = c·d and out = a·b, the product's passage is one of d → b for each of the c, and one of c → a for each of
    /// the b: neither the product itself nor its gradient is made.
    fn apply(&self, layer: &Beneath<'_>) -> models::Result<Tensor> {
        let drawn = self.parts.drops.draw();
        if drawn.as_ref().is_some_and(|drawn| drawn.whole) {
            return layer.output();
        }
        let x = layer.input();
        let (_, c) = self.first.dims2()?;
        let d = x.dim(D::Minus1)? / c;
        let y = match self.parts.kind {
            TargetKind::Linear { .. } => {
                let mut shape = x.dims().to_vec();
                shape.pop();
                shape.extend([c, d]);
                // (…, c, d) → (…, c, b) → (…, b, c)
                self.second(layer, &x.reshape(shape)?, d)?.transpose(D::Minus2, D::Minus1)?
            }
            TargetKind::Conv { .. } => {
                let (n, h, w, _) = x.dims4()?;
                // (n, h, w, c, d) → (n·c, h, w, d) → (n·c, h', w', b) → (n, h', w', b, c)
                let x = x.reshape((n, h, w, c, d))?.permute((0, 3, 1, 2, 4))?.contiguous()?;
                let y = self.second(layer, &x.reshape((n * c, h, w, d))?, d)?;
                let (_, h, w, b) = y.dims4()?;
                y.reshape((n, c, h, w, b))?.permute((0, 2, 3, 4, 1))?
            }
        };
        // (…, b, c) → (…, b, a) → (…, a·b)
        let y = ops::linear(&y.contiguous()?, &self.first.to_device(y.device())?, None)?;
        let y = y.transpose(D::Minus2, D::Minus1)?.contiguous()?.flatten_from(D::Minus2)?;
        Ok((layer.output()? + self.parts.without_rows(drawn, (y * self.parts.scale)?)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_as_lycoris_cuts_them() {
        // The table in the documentation of `factorization`.
        let table = [
            (127, [(1, 127), (1, 127), (1, 127), (1, 127), (1, 127)]),
            (128, [(8, 16), (2, 64), (4, 32), (8, 16), (8, 16)]),
            (250, [(10, 25), (2, 125), (2, 125), (5, 50), (10, 25)]),
            (360, [(18, 20), (2, 180), (4, 90), (8, 45), (15, 24)]),
            (512, [(16, 32), (2, 256), (4, 128), (8, 64), (16, 32)]),
            (1024, [(32, 32), (2, 512), (4, 256), (8, 128), (16, 64)]),
        ];
        for (n, wanted) in table {
            for (factor, wanted) in [None, Some(2), Some(4), Some(8), Some(16)].into_iter().zip(wanted) {
                assert_eq!(factors(n, factor), wanted, "{n} by {factor:?}");
            }
        }
    }

    #[test]
    fn a_large_rank_keeps_the_second_factor_whole_and_the_scale_at_1() {
        let kind = TargetKind::Conv { inp: 64, out: 128, kernel: 3 };
        let shape = Shape { rank: 4, alpha: 2.0, factor: Some(4) };
        let names = |shape: &Shape| leaves(&kind, shape).iter().map(|l| (l.name, l.shape.clone())).collect::<Vec<_>>();
        let first = ("lokr_w1", vec![4, 4]);
        let (a, b) = (("lokr_w2_a", vec![32, 4]), ("lokr_w2_b", vec![4, 16 * 9]));
        assert_eq!((names(&shape), alpha(&kind, &shape)), (vec![a, b, first.clone()], 2.0));
        let shape = Shape { rank: 16, ..shape };
        assert_eq!((names(&shape), alpha(&kind, &shape)), (vec![("lokr_w2", vec![32, 16, 3, 3]), first], 16.0));
    }
}

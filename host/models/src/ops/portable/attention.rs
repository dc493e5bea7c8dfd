//! Attention some queries at a time, so that not all scores are held at once; the backward pass makes them again.

use super::super::attention::Mask;
use super::super::given::given3;
use super::check;
use candle_core::{D, Device, Result, Tensor};

/// Most scores held at once: 256 MiB.
const SCORES: usize = 1 << 26;

/// As [`crate::ops::attention`].
pub(in crate::ops) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: Mask) -> Result<Tensor> {
    in_pieces(q, k, v, heads, mask, SCORES)
}

/// The same with at most so many scores at once, or those of one query.
pub(super) fn in_pieces(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, mask: Mask, most: usize) -> Result<Tensor> {
    check(q)?;
    let split = |x: &Tensor| -> Result<Tensor> {
        let (b, n, width) = x.dims3()?;
        // (b, heads, n, d)
        x.detach().contiguous()?.reshape((b, n, heads, width / heads))?.transpose(1, 2)?.contiguous()
    };
    let pass = Pass { q: split(q)?, k: split(k)?, v: split(v)?, mask, most };
    let value = pass.forward()?;
    given3(value, [q, k, v], move |grad| {
        let (b, heads, n, d) = pass.q.dims4()?;
        let grad = grad.reshape((b, n, heads, d))?.transpose(1, 2)?.contiguous()?;
        Ok(pass.backward(&grad)?.map(Some))
    })
}

struct Pass {
    /// (b, heads, n, d); keys and values (b, heads, m, d).
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    most: usize,
}

/// (b, heads, n, d) → (b, n, heads·d).
fn merge(x: &Tensor) -> Result<Tensor> {
    x.transpose(1, 2)?.contiguous()?.flatten_from(2)
}

impl Pass {
    /// First query and number of queries of each piece.
    fn pieces(&self) -> Result<Vec<(usize, usize)>> {
        let (b, heads, n, _) = self.q.dims4()?;
        let each = (self.most / (b * heads * self.k.dim(2)?).max(1)).clamp(1, n.max(1));
        Ok((0..n).step_by(each).map(|first| (first, each.min(n - first))).collect())
    }

    fn scale(&self) -> Result<f64> {
        Ok(1.0 / (self.q.dim(3)? as f64).sqrt())
    }

    /// What some queries give each key: (b, heads, count, m).
    fn shares(&self, first: usize, count: usize) -> Result<Tensor> {
        let queries = self.q.narrow(2, first, count)?.contiguous()?;
        let mut scores = (queries.matmul(&self.k.transpose(2, 3)?.contiguous()?)? * self.scale()?)?;
        if self.mask == Mask::Causal {
            scores = scores.broadcast_add(&hidden(first, count, self.k.dim(2)?, self.q.device())?)?;
        }
        let shares = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
        shares.broadcast_div(&shares.sum_keepdim(D::Minus1)?)
    }

    fn forward(&self) -> Result<Tensor> {
        let each = |(first, count)| self.shares(first, count)?.matmul(&self.v);
        let parts = self.pieces()?.into_iter().map(each).collect::<Result<Vec<_>>>()?;
        merge(&Tensor::cat(&parts, 2)?)
    }

    fn backward(&self, grad: &Tensor) -> Result<[Tensor; 3]> {
        let (mut dq, mut dk, mut dv) = (Vec::new(), self.k.zeros_like()?, self.v.zeros_like()?);
        for (first, count) in self.pieces()? {
            let shares = self.shares(first, count)?;
            let grad = grad.narrow(2, first, count)?.contiguous()?;
            dv = (dv + shares.transpose(2, 3)?.contiguous()?.matmul(&grad)?)?;
            let slopes = grad.matmul(&self.v.transpose(2, 3)?.contiguous()?)?;
            let along = (&slopes * &shares)?.sum_keepdim(D::Minus1)?;
            let slopes = (slopes.broadcast_sub(&along)?.mul(&shares)? * self.scale()?)?;
            dq.push(slopes.matmul(&self.k)?);
            let queries = self.q.narrow(2, first, count)?.contiguous()?;
            dk = (dk + slopes.transpose(2, 3)?.contiguous()?.matmul(&queries)?)?;
        }
        Ok([merge(&Tensor::cat(&dq, 2)?)?, merge(&dk)?, merge(&dv)?])
    }
}

/// 0 for the keys that a query sees, minus infinity for those behind it: (count, m).
fn hidden(first: usize, count: usize, m: usize, device: &Device) -> Result<Tensor> {
    let value = |query: usize, key: usize| if key > first + query { f32::NEG_INFINITY } else { 0.0 };
    let values = (0..count).flat_map(|query| (0..m).map(move |key| value(query, key))).collect::<Vec<_>>();
    Tensor::from_vec(values, (count, m), device)
}

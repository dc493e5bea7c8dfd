//! What the nodes for batches share.

use anyhow::Result;
use candle_core::Tensor;

/// The first `count` of a batch that is repeated until it has as many.
pub(super) fn repeat_to(batch: &Tensor, count: usize) -> Result<Tensor> {
    let there = batch.dim(0)?;
    let mut times = vec![1; batch.rank()];
    times[0] = count.div_ceil(there.max(1));
    Ok(batch.repeat(times)?.narrow(0, 0, count)?)
}

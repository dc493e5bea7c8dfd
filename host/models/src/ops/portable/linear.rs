//! Linear layers out of candle's matrix products.

use super::super::frozen::Frozen;
use super::super::given::{given, given2};
use super::{check, rows};
use candle_core::{Result, Tensor};
use std::sync::Arc;

/// As [`crate::ops::linear_frozen`].
pub(in crate::ops) fn linear_frozen(x: &Tensor, layer: &Arc<Frozen>) -> Result<Tensor> {
    check(x)?;
    let mut dims = x.dims().to_vec();
    dims.pop();
    dims.push(layer.out());
    let mut y = rows(&x.detach())?.matmul(&matrix(layer)?.t()?)?;
    if let Some(bias) = layer.bias_on_device()? {
        y = y.broadcast_add(bias)?;
    }
    let (layer, shape) = (layer.clone(), x.shape().clone());
    given(y.reshape(dims)?, x, move |grad| Ok([Some(rows(grad)?.matmul(&matrix(&layer)?)?.reshape(&shape)?)]))
}

/// The weight in f32, (out, in).
fn matrix(layer: &Frozen) -> Result<Tensor> {
    layer.widened()?.reshape((layer.out(), layer.inp()))
}

/// As [`crate::ops::linear_lora`], with matrices.
pub(in crate::ops) fn linear_lora(
    x: &Tensor,
    layer: &Arc<Frozen>,
    down: &Tensor,
    up: &Tensor,
    scale: f64,
) -> Result<Tensor> {
    let beside = linear(&linear(x, down, None)?, up, None)?;
    linear_frozen(x, layer)? + (beside * scale)?
}

/// As [`crate::ops::linear`].
pub(in crate::ops) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check(x)?;
    let mut dims = x.dims().to_vec();
    dims.pop();
    dims.push(weight.dim(0)?);
    let (xs, ws) = (rows(&x.detach())?, weight.detach());
    let y = xs.matmul(&ws.t()?)?.reshape(dims)?;
    let (wants, shape) = ([x.track_op(), weight.track_op()], x.shape().clone());
    let y = given2(y, [x, weight], move |grad| {
        let grad = rows(grad)?;
        let dx = wants[0].then(|| grad.matmul(&ws)?.reshape(&shape)).transpose()?;
        let dw = wants[1].then(|| grad.t()?.matmul(&xs)).transpose()?;
        Ok([dx, dw])
    })?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

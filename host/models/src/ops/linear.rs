//! Linear layers over the last dimension: frozen, frozen with a LoRA, and trainable.

use super::frozen::Frozen;
use super::gemm::{Output, Packed, Product, Right, Stretch, multiply, multiply_transposed};
use super::portable;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use std::sync::{Arc, OnceLock};

/// `x (…, in) · weightᵀ + bias` → (…, out); the layer gets no gradient.
pub fn linear_frozen(x: &Tensor, layer: &Arc<Frozen>) -> Result<Tensor> {
    check(x, layer)?;
    if portable::takes(x) {
        return portable::linear_frozen(x, layer);
    }
    x.contiguous()?.apply_op1(FrozenLinear { layer: layer.clone() })
}

/// `x · weightᵀ + bias + scale · (x · downᵀ) · upᵀ` with `down` (r, in) and `up` (out, r), which get gradients while the
/// layer gets none. `down` and `up` of 1×1 convolutions may have their two trailing dimensions.
pub fn linear_lora(x: &Tensor, layer: &Arc<Frozen>, down: &Tensor, up: &Tensor, scale: f64) -> Result<Tensor> {
    check(x, layer)?;
    let down = if down.rank() == 4 { down.flatten_from(1)? } else { down.clone() }.contiguous()?;
    let up = if up.rank() == 4 { up.flatten_from(1)? } else { up.clone() }.contiguous()?;
    let ((rank, inp), (out, rank2)) = (down.dims2()?, up.dims2()?);
    if (inp, out, rank) != (layer.inp(), layer.out(), rank2) {
        bail!(
            "expected a lora of ({}, {}), found down {:?} and up {:?}",
            layer.out(),
            layer.inp(),
            down.shape(),
            up.shape()
        );
    }
    if portable::takes(x) {
        return portable::linear_lora(x, layer, &down, &up, scale);
    }
    let op = LoraLinear { layer: layer.clone(), scale: scale as f32, through: OnceLock::new() };
    x.contiguous()?.apply_op3(&down, &up, op)
}

/// `x (…, in) · weightᵀ + bias` for a weight (out, in) that may be trained.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if portable::takes(x) {
        return portable::linear(x, weight, bias);
    }
    let y = x.contiguous()?.apply_op2(&weight.contiguous()?, TrainableLinear)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

fn check(x: &Tensor, layer: &Frozen) -> Result<()> {
    if layer.kernel() != (1, 1) || x.dims().last() != Some(&layer.inp()) {
        bail!("expected an input (…, {}) of a linear layer, found {:?}", layer.inp(), x.shape());
    }
    Ok(())
}

fn with_last(layout: &Layout, last: usize) -> Shape {
    let mut dims = layout.dims().to_vec();
    if let Some(d) = dims.last_mut() {
        *d = last;
    }
    dims.into()
}

struct FrozenLinear {
    layer: Arc<Frozen>,
}

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "linear-frozen"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (m, k), n) = (values::of(x, layout)?, values::matrix(layout)?, self.layer.out());
        let mut out = vec![0.0; m * n];
        let kept = self.layer.kept()?;
        multiply(&mut out, x, m, k, n, kept.right(0), 1.0, self.layer.bias());
        Ok(values::storage(out, with_last(layout, n)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        read!(grad as g);
        let (m, n, k) = (x.elem_count() / self.layer.inp(), self.layer.out(), self.layer.inp());
        let mut dx = vec![0.0; m * k];
        let kept = self.layer.kept()?;
        multiply(&mut dx, g, m, n, k, kept.flipped().right(0), 1.0, None);
        Ok(Some(values::tensor(dx, x.shape())?))
    }
}

struct LoraLinear {
    layer: Arc<Frozen>,
    scale: f32,
    /// scale · x · downᵀ, (rows, r), kept for the gradient of `up`.
    through: OnceLock<Vec<f32>>,
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "linear-lora"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        down: &CpuStorage,
        down_layout: &Layout,
        up: &CpuStorage,
        up_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, (m, k), n) = (values::of(x, layout)?, values::matrix(layout)?, self.layer.out());
        let (down, up) = (values::of(down, down_layout)?, values::of(up, up_layout)?);
        let rank = down.len() / k;
        let mut through = vec![0.0; m * rank];
        let down = Packed::transposed(k, rank, down, k);
        multiply(&mut through, x, m, k, rank, Right::Packed(&down, 0), self.scale, None);
        let up = Packed::transposed(rank, n, up, rank);
        let mut out = vec![0.0; m * n];
        let kept = self.layer.kept()?;
        let parts = [(x, k, kept.right(0)), (&through[..], rank, Right::Packed(&up, 0))];
        sum_of_two(&mut out, m, n, parts, self.layer.bias());
        let _ = self.through.set(through);
        Ok(values::storage(out, with_last(layout, n)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        down: &Tensor,
        up: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (n, k, rank) = (self.layer.out(), self.layer.inp(), down.dim(0)?);
        let m = x.elem_count() / k;
        read!(x as xs, down as ds, up as us, grad as g);
        let Some(through) = self.through.get() else { bail!("the forward pass has not run") };
        // scale · grad · up, (m, r).
        let mut back = vec![0.0; m * rank];
        let up_packed = Packed::rows(n, rank, us, rank);
        multiply(&mut back, g, m, n, rank, Right::Packed(&up_packed, 0), self.scale, None);
        let dx = if x.track_op() {
            let down_packed = Packed::rows(rank, k, ds, k);
            let mut dx = vec![0.0; m * k];
            let (kept, down) = (self.layer.kept()?, Right::Packed(&down_packed, 0));
            let flipped = kept.flipped();
            let parts = [(g, n, flipped.right(0)), (&back[..], rank, down)];
            sum_of_two(&mut dx, m, k, parts, None);
            Some(values::tensor(dx, x.shape())?)
        } else {
            None
        };
        let d_down =
            down.track_op().then(|| values::tensor(multiply_transposed(&back, xs, m, rank, k, 1.0), down.shape()));
        let d_up = up.track_op().then(|| {
            let across = multiply_transposed(through, g, m, rank, n, 1.0);
            values::tensor(super::gemm::transpose(&across, rank, n), up.shape())
        });
        Ok((dx, d_down.transpose()?, d_up.transpose()?))
    }
}

/// `out (m, n) = left₀ · right₀ + left₁ · right₁ + bias` in one pass over the output.
fn sum_of_two(out: &mut [f32], m: usize, n: usize, parts: [(&[f32], usize, Right<'_>); 2], bias: Option<&[f32]>) {
    let stretches = parts.map(|(_, len, right)| Stretch { len, step: 1, right });
    let product = Product { m, n, stretches: &stretches, alpha: 1.0, bias, accumulate: false };
    let place = Output::new(out);
    // SAFETY: each row has `len` floats in both left sides and its own n floats of the output.
    unsafe {
        product.run(|i, row| {
            for (index, (left, len, _)) in parts.iter().enumerate() {
                row.left(index, &left[i * len..(i + 1) * len]);
            }
            row.out(place, i * n, n);
        });
    }
}

struct TrainableLinear;

impl CustomOp2 for TrainableLinear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, (m, k)) = (values::of(x, layout)?, values::matrix(layout)?);
        let [n, inp] = *weight_layout.dims() else { bail!("expected a weight (out, in)") };
        if inp != k {
            bail!("expected a weight (out, {k}) for an input {:?}, found {:?}", layout.shape(), weight_layout.shape());
        }
        let packed = Packed::transposed(k, n, values::of(weight, weight_layout)?, k);
        let mut out = vec![0.0; m * n];
        multiply(&mut out, x, m, k, n, Right::Packed(&packed, 0), 1.0, None);
        Ok(values::storage(out, with_last(layout, n)))
    }

    fn bwd(&self, x: &Tensor, weight: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (n, k) = weight.dims2()?;
        let m = x.elem_count() / k.max(1);
        read!(x as xs, weight as ws, grad as g);
        let dx = x.track_op().then(|| {
            let packed = Packed::rows(n, k, ws, k);
            let mut dx = vec![0.0; m * k];
            multiply(&mut dx, g, m, n, k, Right::Packed(&packed, 0), 1.0, None);
            values::tensor(dx, x.shape())
        });
        let dw = weight.track_op().then(|| values::tensor(multiply_transposed(g, xs, m, n, k, 1.0), weight.shape()));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, gradients_match, random};

    #[test]
    fn frozen_layer_matches_matmul_and_has_its_gradient() -> Result<()> {
        let (w, b) = (random((40, 24), 1)?, random(40, 2)?);
        let layer = Arc::new(Frozen::new(&w, Some(&b))?);
        close(&layer.weight()?, &w, 0.0)?;
        let composed = |x: &[Tensor]| x[0].broadcast_matmul(&w.t()?)?.broadcast_add(&b);
        gradients_match(&[random((3, 7, 24), 3)?], |x| linear_frozen(&x[0], &layer), composed)?;
        // A strided input is made contiguous, and its gradient finds its way back.
        let strided = |x: &[Tensor]| linear_frozen(&x[0].transpose(1, 2)?, &layer);
        gradients_match(&[random((3, 24, 7), 4)?], strided, |x| composed(&[x[0].transpose(1, 2)?.contiguous()?]))
    }

    #[test]
    fn lora_matches_its_definition_and_has_three_gradients() -> Result<()> {
        for rank in [1, 3, 8] {
            let w = random((33, 16), 1)?;
            let layer = Arc::new(Frozen::new(&w, None)?);
            let args = [random((2, 50, 16), 2)?, random((rank, 16), 3)?, random((33, rank), 4)?];
            gradients_match(
                &args,
                |a| linear_lora(&a[0], &layer, &a[1], &a[2], 0.5),
                |a| {
                    let delta = (a[2].matmul(&a[1])? * 0.5)?;
                    a[0].broadcast_matmul(&(&w + delta)?.t()?)
                },
            )?;
        }
        Ok(())
    }

    #[test]
    fn trainable_layer_matches_matmul() -> Result<()> {
        let args = [random((5, 9, 20), 1)?, random((7, 20), 2)?, random(7, 3)?];
        gradients_match(
            &args,
            |a| linear(&a[0], &a[1], Some(&a[2])),
            |a| a[0].broadcast_matmul(&a[1].t()?)?.broadcast_add(&a[2]),
        )
    }

    #[test]
    fn wrong_shapes_are_errors() -> Result<()> {
        let layer = Arc::new(Frozen::new(&random((4, 6), 1)?, None)?);
        assert!(linear_frozen(&random((2, 5), 2)?, &layer).is_err());
        assert!(linear_lora(&random((2, 6), 2)?, &layer, &random((2, 5), 3)?, &random((4, 2), 4)?, 1.0).is_err());
        assert!(linear(&random((2, 5), 2)?, &random((4, 6), 3)?, None).is_err());
        Ok(())
    }
}

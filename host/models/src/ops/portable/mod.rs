//! The operations out of candle's own, for devices that the kernels here do not run on. Same arguments, same results up to
//! rounding, and gradients without candle's detours: no gradient is computed for a frozen weight, a convolution's input
//! gradient is again a matrix product, and attention holds a few of its scores at a time.

mod attention;
mod conv;
mod linear;
mod norm;

pub(super) use attention::attention;
pub(super) use conv::{conv2d, conv2d_frozen};
pub(super) use linear::{linear, linear_frozen, linear_lora};
pub(super) use norm::{group_norm, layer_norm};

use candle_core::{D, DType, Result, Tensor, bail};

/// Whether a tensor lies where the portable operations compute: the one place where that is decided.
pub(super) fn takes(x: &Tensor) -> bool {
    #[cfg(test)]
    if EVERYWHERE.get() {
        return true;
    }
    !x.device().is_cpu()
}

#[cfg(test)]
thread_local! {
    /// Whether this thread computes with the portable operations on the CPU too, so that networks can be compared.
    static EVERYWHERE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// As [`super::quick_gelu`]: candle's SiLU, whose gradient holds for large values too, on another scale.
pub(super) fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    (x * 1.702)?.silu()? / 1.702
}

/// As [`super::geglu`].
pub(super) fn geglu(x: &Tensor) -> Result<Tensor> {
    let half = x.dim(D::Minus1)? / 2;
    x.narrow(D::Minus1, 0, half)? * x.narrow(D::Minus1, half, half)?.contiguous()?.gelu_erf()?
}

/// As [`super::upsample_nearest`].
pub(super) fn upsample_nearest(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (_, h, w, _) = x.dims4()?;
    let rows = |to: usize, from: usize| {
        let rows: Vec<u32> = (0..to).map(|i| (i * from / to) as u32).collect();
        Tensor::from_vec(rows, to, x.device())
    };
    x.contiguous()?.index_select(&rows(height, h)?, 1)?.contiguous()?.index_select(&rows(width, w)?, 2)
}

/// As [`super::add_channels`].
pub(super) fn add_channels(x: &Tensor, t: &Tensor) -> Result<Tensor> {
    let (b, c) = t.dims2()?;
    let mut shape = vec![1; x.rank()];
    (shape[0], shape[x.rank() - 1]) = (b, c);
    x.broadcast_add(&t.reshape(shape)?)
}

/// The rows (…, c) of a tensor as a matrix (n, c).
fn rows(x: &Tensor) -> Result<Tensor> {
    match x.dims().last() {
        Some(&c) => x.contiguous()?.reshape(((), c)),
        None => bail!("expected at least one dimension, found a scalar"),
    }
}

/// Checks what these operations compute in.
fn check(x: &Tensor) -> Result<()> {
    match x.dtype() {
        DType::F32 => Ok(()),
        other => bail!("expected f32 values, found {}", other.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{self as ops, Frozen, Mask, Window};
    use super::*;
    use crate::ops::testing::{gradients_match, random};
    use std::sync::Arc;

    #[test]
    fn elementwise_operations_match_the_kernels() -> Result<()> {
        let x = [(random((2, 5, 34), 1)? * 4.0)?];
        gradients_match(&x, |a| a[0].silu(), |a| ops::silu(&a[0]))?;
        gradients_match(&x, |a| quick_gelu(&a[0]), |a| ops::quick_gelu(&a[0]))?;
        gradients_match(&x, |a| a[0].gelu_erf(), |a| ops::gelu(&a[0]))?;
        gradients_match(&x, |a| a[0].gelu(), |a| ops::gelu_tanh(&a[0]))?;
        gradients_match(&x, |a| geglu(&a[0]), |a| ops::geglu(&a[0]))?;
        let x = [random((2, 3, 5, 4), 1)?, random((2, 4), 2)?];
        gradients_match(&x, |a| add_channels(&a[0], &a[1]), |a| ops::add_channels(&a[0], &a[1]))?;
        for (h, w) in [(6, 10), (5, 5), (7, 9)] {
            let ours = |a: &[Tensor]| ops::upsample_nearest(&a[0], h, w);
            gradients_match(&x[..1], |a| upsample_nearest(&a[0], h, w), ours)?;
        }
        Ok(())
    }

    #[test]
    fn norms_match_the_kernels() -> Result<()> {
        let (ws, bs) = (random(12, 1)?.to_vec1::<f32>()?, random(12, 2)?.to_vec1::<f32>()?);
        let (ws, bs): (Arc<[f32]>, Arc<[f32]>) = (ws.into(), bs.into());
        let x = [random((2, 3, 5, 12), 3)?];
        gradients_match(&x, |a| layer_norm(&a[0], &ws, &bs, 1e-3), |a| ops::layer_norm(&a[0], &ws, &bs, 1e-3))?;
        for (groups, silu) in [(4, false), (4, true), (12, true), (1, false)] {
            gradients_match(
                &x,
                |a| group_norm(&a[0], groups, &ws, &bs, 1e-3, silu),
                |a| ops::group_norm(&a[0], groups, &ws, &bs, 1e-3, silu),
            )?;
        }
        Ok(())
    }

    #[test]
    fn linear_layers_match_the_kernels() -> Result<()> {
        let (w, b) = (random((40, 24), 1)?, random(40, 2)?);
        let layer = Arc::new(Frozen::new(&w, Some(&b))?);
        let x = random((3, 7, 24), 3)?;
        gradients_match(
            std::slice::from_ref(&x),
            |a| linear_frozen(&a[0], &layer),
            |a| ops::linear_frozen(&a[0], &layer),
        )?;
        let turned = [x.transpose(0, 1)?];
        gradients_match(&turned, |a| linear_frozen(&a[0], &layer), |a| ops::linear_frozen(&a[0], &layer))?;
        let args = [x.clone(), random((5, 24), 4)?, random((40, 5), 5)?];
        gradients_match(
            &args,
            |a| linear_lora(&a[0], &layer, &a[1], &a[2], 0.5),
            |a| ops::linear_lora(&a[0], &layer, &a[1], &a[2], 0.5),
        )?;
        let args = [x, w, b];
        gradients_match(&args, |a| linear(&a[0], &a[1], Some(&a[2])), |a| ops::linear(&a[0], &a[1], Some(&a[2])))
    }

    #[test]
    fn convolutions_match_the_kernels() -> Result<()> {
        let windows = [
            (3, Window::new(1, 1)),
            (3, Window::new(2, 1)),
            (3, Window { stride: 2, before: 0, after: 1 }),
            (1, Window::new(1, 0)),
            (1, Window::new(2, 0)),
            (4, Window::new(3, 2)),
        ];
        for (k, window) in windows {
            for (h, w) in [(8, 8), (7, 5)] {
                let args = [random((2, h, w, 5), 1)?, random((18, 5, k, k), 2)?, random(18, 3)?];
                gradients_match(
                    &args,
                    |a| conv2d(&a[0], &a[1], Some(&a[2]), window),
                    |a| ops::conv2d(&a[0], &a[1], Some(&a[2]), window),
                )?;
                let layer = Arc::new(Frozen::new(&args[1], Some(&args[2]))?);
                gradients_match(
                    &args[..1],
                    |a| conv2d_frozen(&a[0], &layer, window),
                    |a| ops::conv2d_frozen(&a[0], &layer, window),
                )?;
            }
        }
        Ok(())
    }

    #[test]
    fn attention_matches_the_kernel_in_one_and_in_many_pieces() -> Result<()> {
        for (n, m, mask) in [(7, 7, Mask::None), (7, 7, Mask::Causal), (9, 4, Mask::None), (3, 8, Mask::Causal)] {
            let args = [random((2, n, 12), 1)?, random((2, m, 12), 2)?, random((2, m, 12), 3)?];
            for scores in [1, 2 * 3 * 4 * m, usize::MAX] {
                gradients_match(
                    &args,
                    |a| attention::in_pieces(&a[0], &a[1], &a[2], 3, mask, scores),
                    |a| ops::attention(&a[0], &a[1], &a[2], 3, mask),
                )?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_network_of_portable_operations_matches_one_of_kernels() -> crate::Result<()> {
        let config = crate::unet::UNetConfig {
            block_out_channels: vec![8, 16],
            down_attention: vec![true, false],
            up_attention: vec![false, true],
            heads: vec![2, 2],
            transformer_layers: vec![1, 1],
            norm_num_groups: 4,
            cross_attention_dim: 12,
            ..crate::unet::UNetConfig::sd15()
        };
        let mut part = crate::weights::Part::random(1);
        let unet = crate::unet::full_size(config, &mut part, crate::unet::Naming::Diffusers)?;
        let (x, context) = (random((2, 4, 8, 8), 1)?, random((2, 5, 12), 2)?);
        let x = candle_core::Var::from_tensor(&x)?;
        let run = || -> crate::Result<[Tensor; 2]> {
            let times = Tensor::new(&[10f32, 700.0], &candle_core::Device::Cpu)?;
            let y = unet.forward(x.as_tensor(), &times, &crate::Cond::text(context.clone()))?;
            let grads = y.sqr()?.mean_all()?.backward()?;
            Ok([y, grads.get(x.as_tensor()).expect("the input has a gradient").clone()])
        };
        let [y, dx] = run()?;
        EVERYWHERE.set(true);
        let there = run();
        EVERYWHERE.set(false);
        let [portable_y, portable_dx] = there?;
        crate::ops::testing::close(&portable_y, &y, 1e-4)?;
        crate::ops::testing::close(&portable_dx, &dx, 1e-4)?;
        Ok(())
    }

    #[test]
    fn frozen_weights_are_widened_where_they_are_used() -> Result<()> {
        let w = random((40, 24), 1)?.to_dtype(DType::BF16)?;
        struct Narrow(Tensor);
        impl ops::Source for Narrow {
            fn shape(&self) -> &[usize] {
                self.0.dims()
            }
            fn rows(&self, _: usize, _: &mut [f32]) -> Result<()> {
                bail!("the values are taken as they are stored")
            }
            fn stored(&self, _: &candle_core::Device) -> Result<ops::Stored> {
                let scale = Tensor::full(0.5f32, (40, 1), &candle_core::Device::Cpu)?;
                Ok(ops::Stored { values: self.0.clone(), scale: Some(scale) })
            }
        }
        let memory = crate::Memory::unlimited();
        let layer = Frozen::from_source(Arc::new(Narrow(w.clone())), None, &memory)?;
        let x = random((3, 24), 2)?;
        let want = (x.matmul(&w.to_dtype(DType::F32)?.t()?)? * 0.5)?;
        crate::ops::testing::close(&linear_frozen(&x, &Arc::new(layer))?, &want, 1e-5)?;
        Ok(())
    }
}

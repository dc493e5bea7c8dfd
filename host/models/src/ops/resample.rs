//! Nearest-neighbour upsampling of channels-last images.

use super::portable;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

/// `x` (b, h, w, c) → (b, height, width, c); pixel i comes from ⌊i·h/height⌋, as in torch.
pub fn upsample_nearest(x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (_, h, w, _) = x.dims4()?;
    if h == 0 || w == 0 || height < h || width < w {
        bail!("cannot enlarge {h}×{w} to {height}×{width}");
    }
    if portable::takes(x) {
        return portable::upsample_nearest(x, height, width);
    }
    x.contiguous()?.apply_op1(Nearest { height, width })
}

struct Nearest {
    height: usize,
    width: usize,
}

impl CustomOp1 for Nearest {
    fn name(&self) -> &'static str {
        "upsample-nearest"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, (b, h, w, c)) = (values::of(x, layout)?, layout.shape().dims4()?);
        let mut out = vec![0.0; b * self.height * self.width * c];
        values::in_chunks(&mut out, self.width * c, |at, out| {
            let row = at / (self.width * c);
            let (image, y) = (row / self.height, row % self.height * h / self.height);
            let source = &x[(image * h + y) * w * c..][..w * c];
            for (i, out) in out.chunks_exact_mut(c).enumerate() {
                out.copy_from_slice(&source[i * w / self.width * c..][..c]);
            }
        });
        Ok(values::storage(out, (b, self.height, self.width, c)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (_, h, w, c) = x.dims4()?;
        read!(grad as gs);
        let mut dx = vec![0.0; x.elem_count()];
        values::in_chunks(&mut dx, w * c, |at, dx| {
            let row = at / (w * c);
            let (image, y) = (row / h, row % h);
            // The output rows that were copied from row y: all i with ⌊i·h/height⌋ = y.
            let rows = (y * self.height).div_ceil(h)..((y + 1) * self.height).div_ceil(h);
            for oy in rows {
                let source = &gs[(image * self.height + oy) * self.width * c..][..self.width * c];
                for (i, g) in source.chunks_exact(c).enumerate() {
                    for (dx, g) in dx[i * w / self.width * c..][..c].iter_mut().zip(g) {
                        *dx += g;
                    }
                }
            }
        });
        Ok(Some(values::tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{close, gradients_match, random};
    use candle_core::{Device, Var};

    #[test]
    fn doubling_matches_repeats() -> Result<()> {
        gradients_match(
            &[random((2, 3, 5, 4), 1)?],
            |a| upsample_nearest(&a[0], 6, 10),
            |a| {
                let x = a[0].reshape((2, 3, 1, 5, 1, 4))?.broadcast_as((2, 3, 2, 5, 2, 4))?;
                x.contiguous()?.reshape((2, 6, 10, 4))
            },
        )
    }

    #[test]
    fn odd_targets_take_the_floor_and_every_gradient_arrives_once() -> Result<()> {
        let x = Var::from_tensor(&Tensor::arange(0f32, 3.0, &Device::Cpu)?.reshape((1, 3, 1, 1))?)?;
        let y = upsample_nearest(&x, 5, 1)?;
        assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [0.0, 0.0, 1.0, 1.0, 2.0]);
        let grads = y.sum_all()?.backward()?;
        let want = Tensor::new(&[2f32, 2.0, 1.0], &Device::Cpu)?.reshape((1, 3, 1, 1))?;
        close(grads.get(&x).unwrap(), &want, 0.0)?;
        assert!(upsample_nearest(&x, 2, 1).is_err());
        Ok(())
    }
}

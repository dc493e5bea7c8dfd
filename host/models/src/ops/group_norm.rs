//! Group normalisation (Wu and He 2018, arXiv:1803.08494) on channels-last images, with an optional SiLU behind it in
//! the same pass, and frozen weight and bias.

use super::math;
use super::portable;
use super::simd::simd;
use super::values::{self, read};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Normalises groups of neighbouring channels of `x` (b, …, c) over all pixels; `silu` applies x·sigmoid(x) to the result.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Arc<[f32]>,
    bias: &Arc<[f32]>,
    eps: f64,
    silu: bool,
) -> Result<Tensor> {
    let c = weight.len();
    if x.rank() < 2
        || x.dims().last() != Some(&c)
        || bias.len() != c
        || groups == 0
        || !c.is_multiple_of(groups)
        || c == 0
    {
        bail!("expected an input (b, …, {c}) for {groups} groups, found {:?}", x.shape());
    }
    if portable::takes(x) {
        return portable::group_norm(x, groups, weight, bias, eps, silu);
    }
    let op = GroupNorm { groups, weight: weight.clone(), bias: bias.clone(), eps, silu, statistics: OnceLock::new() };
    x.contiguous()?.apply_op1(op)
}

struct GroupNorm {
    groups: usize,
    weight: Arc<[f32]>,
    bias: Arc<[f32]>,
    eps: f64,
    silu: bool,
    /// Mean and inverse standard deviation per channel, each (b, c).
    statistics: OnceLock<(Vec<f32>, Vec<f32>)>,
}

/// Pixels that one thread does at a time. Sums are kept in f32 over this many and in f64 beyond.
const PIXELS: usize = 128;

/// Sums of `value(pixels, sums)` over all pixels of each image: `width` sums for each of `b` images of `pixels` pixels.
/// The partial sums are added in the order of the pixels, whoever computed them.
fn sum_pixels(
    b: usize,
    pixels: usize,
    width: usize,
    value: impl Fn(usize, std::ops::Range<usize>, &mut [f32]) + Sync,
) -> Vec<f64> {
    let pieces = pixels.div_ceil(PIXELS);
    let piece = |i: usize| {
        let (image, first) = (i / pieces, i % pieces * PIXELS);
        let mut sums = vec![0f32; width];
        value(image, image * pixels + first..image * pixels + (first + PIXELS).min(pixels), &mut sums);
        sums
    };
    let count = b * pieces;
    let parts: Vec<Vec<f32>> = if b * pixels * width < 1 << 15 {
        (0..count).map(piece).collect()
    } else {
        (0..count).into_par_iter().map(piece).collect()
    };
    let mut sums = vec![0f64; b * width];
    for (i, part) in parts.iter().enumerate() {
        for (sum, part) in sums[i / pieces * width..].iter_mut().zip(part) {
            *sum += f64::from(*part);
        }
    }
    sums
}

simd! {
    fn add_up(sums: &mut [f32], x: &[f32]) {
        for x in x.chunks_exact(sums.len()) {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += x;
            }
        }
    }
}

simd! {
    fn add_squares(sums: &mut [f32], x: &[f32], mean: &[f32]) {
        for x in x.chunks_exact(sums.len()) {
            for ((sum, x), mean) in sums.iter_mut().zip(x).zip(mean) {
                *sum += (x - mean) * (x - mean);
            }
        }
    }
}

simd! {
    fn scale(out: &mut [f32], x: &[f32], factor: &[f32], shift: &[f32], silu: bool) {
        let c = factor.len();
        for (out, x) in out.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
            if silu {
                for (((out, x), f), s) in out.iter_mut().zip(x).zip(factor).zip(shift) {
                    let y = x * f + s;
                    *out = y * math::sigmoid(y);
                }
            } else {
                for (((out, x), f), s) in out.iter_mut().zip(x).zip(factor).zip(shift) {
                    *out = x * f + s;
                }
            }
        }
    }
}

/// The gradient in front of the SiLU.
#[inline(always)]
fn through(silu: bool, g: f32, y: f32) -> f32 {
    if silu { g * math::silu_slope(y) } else { g }
}

simd! {
    /// Adds Σ g' to the first c sums and Σ g'·x̂ to the second, g' being the gradient in front of the SiLU.
    fn add_slopes(sums: &mut [f32], x: &[f32], grad: &[f32], mean: &[f32], inverse: &[f32], weight: &[f32], bias: &[f32], silu: bool) {
        let c = weight.len();
        let (plain, along) = sums.split_at_mut(c);
        for (x, g) in x.chunks_exact(c).zip(grad.chunks_exact(c)) {
            let (plain, along) = (&mut plain[..c], &mut along[..c]);
            let (mean, inverse, weight, bias) = (&mean[..c], &inverse[..c], &weight[..c], &bias[..c]);
            for i in 0..c {
                let hat = (x[i] - mean[i]) * inverse[i];
                let g = through(silu, g[i], hat * weight[i] + bias[i]);
                plain[i] += g;
                along[i] += g * hat;
            }
        }
    }
}

simd! {
    /// dx = inverse · (g'·weight - plain - x̂·along), `plain` and `along` being the means over the group.
    fn slope(dx: &mut [f32], x: &[f32], grad: &[f32], mean: &[f32], inverse: &[f32], weight: &[f32], bias: &[f32], plain: &[f32], along: &[f32], silu: bool) {
        let c = weight.len();
        let (mean, inverse, weight, bias) = (&mean[..c], &inverse[..c], &weight[..c], &bias[..c]);
        let (plain, along) = (&plain[..c], &along[..c]);
        for ((dx, x), g) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(grad.chunks_exact(c)) {
            for i in 0..c {
                let hat = (x[i] - mean[i]) * inverse[i];
                let g = through(silu, g[i], hat * weight[i] + bias[i]);
                dx[i] = inverse[i] * (g * weight[i] - plain[i] - hat * along[i]);
            }
        }
    }
}

impl GroupNorm {
    /// Channel sums (b, c) to group means, repeated for each channel of the group.
    fn group_means(&self, sums: impl Fn(usize) -> f64, b: usize, pixels: usize) -> Vec<f64> {
        let c = self.weight.len();
        let size = c / self.groups;
        let mut means = vec![0f64; b * c];
        for (group, means) in means.chunks_exact_mut(size).enumerate() {
            let mean = (group * size..(group + 1) * size).map(&sums).sum::<f64>() / (size * pixels) as f64;
            means.fill(mean);
        }
        means
    }

    /// Images, pixels of an image.
    fn extent(&self, dims: &[usize]) -> (usize, usize) {
        (dims[0], dims[1..dims.len() - 1].iter().product())
    }

    fn statistics(&self, x: &[f32], b: usize, pixels: usize) -> (Vec<f32>, Vec<f32>) {
        let c = self.weight.len();
        let sums = sum_pixels(b, pixels, c, |_, at, sums| add_up(sums, &x[at.start * c..at.end * c]));
        let means = self.group_means(|i| sums[i], b, pixels);
        let means: Vec<f32> = means.iter().map(|&m| m as f32).collect();
        let squares = sum_pixels(b, pixels, c, |image, at, sums| {
            add_squares(sums, &x[at.start * c..at.end * c], &means[image * c..(image + 1) * c]);
        });
        let variances = self.group_means(|i| squares[i], b, pixels);
        let inverses = variances.iter().map(|v| (1.0 / (v + self.eps).sqrt()) as f32).collect();
        (means, inverses)
    }
}

impl CustomOp1 for GroupNorm {
    fn name(&self) -> &'static str {
        "group-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values::of(x, layout)?;
        let ((b, pixels), c) = (self.extent(layout.dims()), self.weight.len());
        let (means, inverses) = self.statistics(x, b, pixels);
        let factor: Vec<f32> = inverses.iter().enumerate().map(|(i, v)| v * self.weight[i % c]).collect();
        let shift: Vec<f32> =
            means.iter().zip(&factor).enumerate().map(|(i, (m, f))| self.bias[i % c] - m * f).collect();
        let mut out = vec![0.0; x.len()];
        // Pieces must not straddle images, so each is a divisor's worth of pixels at most.
        for image in 0..b {
            let range = image * pixels * c..(image + 1) * pixels * c;
            let (x, at) = (&x[range.clone()], image * c..(image + 1) * c);
            values::in_chunks(&mut out[range], PIXELS * c, |first, out| {
                scale(out, &x[first..first + out.len()], &factor[at.clone()], &shift[at.clone()], self.silu);
            });
        }
        let _ = self.statistics.set((means, inverses));
        Ok(values::storage(out, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let ((b, pixels), c) = (self.extent(x.dims()), self.weight.len());
        read!(x as xs, grad as gs);
        let Some((means, inverses)) = self.statistics.get() else { bail!("the forward pass has not run") };
        let sums = sum_pixels(b, pixels, 2 * c, |image, at, sums| {
            let (values, here) = (at.start * c..at.end * c, image * c..(image + 1) * c);
            let (means, inverses) = (&means[here.clone()], &inverses[here]);
            add_slopes(sums, &xs[values.clone()], &gs[values], means, inverses, &self.weight, &self.bias, self.silu);
        });
        let at = |i: usize| (i / c * 2 * c + i % c, f64::from(self.weight[i % c]));
        let plain = self.group_means(|i| sums[at(i).0] * at(i).1, b, pixels);
        let along = self.group_means(|i| sums[at(i).0 + c] * at(i).1, b, pixels);
        let plain: Vec<f32> = plain.iter().map(|&x| x as f32).collect();
        let along: Vec<f32> = along.iter().map(|&x| x as f32).collect();
        let mut dx = vec![0.0; xs.len()];
        for image in 0..b {
            let range = image * pixels * c..(image + 1) * pixels * c;
            let (x, g, at) = (&xs[range.clone()], &gs[range.clone()], image * c..(image + 1) * c);
            values::in_chunks(&mut dx[range], PIXELS * c, |first, dx| {
                let to = first + dx.len();
                let (means, inverses) = (&means[at.clone()], &inverses[at.clone()]);
                let (plain, along) = (&plain[at.clone()], &along[at.clone()]);
                let (weight, bias) = (&self.weight, &self.bias);
                slope(dx, &x[first..to], &g[first..to], means, inverses, weight, bias, plain, along, self.silu);
            });
        }
        Ok(Some(values::tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{gradients_match, random};

    #[test]
    fn matches_the_definition_in_value_and_gradient() -> Result<()> {
        for (b, h, w, c, groups, silu) in
            [(2, 4, 5, 8, 4, false), (2, 4, 5, 8, 4, true), (1, 20, 13, 6, 2, true), (3, 1, 1, 24, 8, true)]
        {
            let (weight, bias) = (random(c, 1)?, random(c, 2)?);
            let (ws, bs): (Arc<[f32]>, Arc<[f32]>) = (weight.to_vec1()?.into(), bias.to_vec1()?.into());
            gradients_match(
                &[random((b, h, w, c), 3)?],
                |a| group_norm(&a[0], groups, &ws, &bs, 1e-3, silu),
                |a| {
                    let x = a[0].reshape((b, h * w, groups, c / groups))?.transpose(1, 2)?;
                    let x = x.contiguous()?.reshape((b * groups, h * w * c / groups))?;
                    let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
                    let hat = centred.broadcast_div(&(centred.sqr()?.mean_keepdim(1)? + 1e-3)?.sqrt()?)?;
                    let hat = hat.reshape((b, groups, h * w, c / groups))?.transpose(1, 2)?.reshape((b, h, w, c))?;
                    let y = hat.broadcast_mul(&weight)?.broadcast_add(&bias)?;
                    if silu { y.silu() } else { Ok(y) }
                },
            )?;
        }
        Ok(())
    }

    #[test]
    fn groups_that_do_not_divide_the_channels_are_an_error() -> Result<()> {
        let ones: Arc<[f32]> = vec![1.0; 6].into();
        assert!(group_norm(&random((1, 2, 2, 6), 1)?, 4, &ones, &ones, 1e-5, false).is_err());
        Ok(())
    }
}

//! Other noise than plain: shifted as a whole, or with coarse parts.

use candle_core::{Result, Tensor};

/// Noise offset: noise + strength · one number for each channel; `offset` (b, c, 1, 1). Lets a network learn images
/// that are dark or bright as a whole. Source: Guttenberg 2023, «Diffusion with offset noise».
pub fn with_offset(noise: &Tensor, offset: &Tensor, strength: f64) -> Result<Tensor> {
    noise.broadcast_add(&(offset * strength)?)
}

/// The same with a strength for each channel that grows by `scale` times the size of the latent's mean there, and is at
/// least 0. Source: sd-scripts, `apply_noise_offset` with `adaptive_noise_scale`.
pub fn with_adaptive_offset(
    noise: &Tensor,
    offset: &Tensor,
    strength: f64,
    latents: &Tensor,
    scale: f64,
) -> Result<Tensor> {
    let mean = latents.mean_keepdim((2, 3))?.abs()?;
    let strength = ((mean * scale)? + strength)?.relu()?;
    noise.broadcast_add(&(offset * strength)?)
}

/// Pyramid noise: coarser and coarser noise on top, scaled back to spread 1. Level i has sides divided by rⁱ, with r
/// drawn from 2…4 for each level by `unit` (0…1), and weight discountⁱ; `normals(n)` draws n standard normals. Noise is
/// (b, c, h, w). Source: sd-scripts, `pyramid_noise_like`, after Whitaker 2023, «Multi-resolution noise».
pub fn pyramid(
    noise: &Tensor,
    levels: usize,
    discount: f64,
    unit: &mut dyn FnMut() -> f64,
    normals: &mut dyn FnMut(usize) -> Vec<f32>,
) -> anyhow::Result<Tensor> {
    let (b, c, h, w) = noise.dims4()?;
    let bilinear = models::interpolation("bilinear")?;
    let mut sum = noise.clone();
    for level in 0..levels {
        let shrink = (unit() * 2.0 + 2.0).powi(level as i32);
        let side = |n: usize| ((n as f64 / shrink) as usize).max(1);
        let (lh, lw) = (side(h), side(w));
        let coarse = Tensor::from_vec(normals(b * c * lh * lw), (b, c, lh, lw), noise.device())?;
        let coarse = bilinear.resize(&coarse, h, w)?;
        sum = (sum + (coarse * discount.powi(level as i32))?)?;
        if lh == 1 || lw == 1 {
            break;
        }
    }
    let all: Vec<f32> = sum.flatten_all()?.to_vec1()?;
    let n = all.len().max(2) as f64;
    let mean = all.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = all.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Ok((sum / variance.sqrt())?)
}

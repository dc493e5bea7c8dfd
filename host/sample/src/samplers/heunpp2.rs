//! Heun's method with a third slope one step further on: up to three calls of the model a step.

use super::{Sampler, Walk, combine, slope};
use anyhow::Result;
use candle_core::Tensor;

pub(super) const HEUNPP2: Sampler = Sampler {
    name: "heunpp2",
    source: "ComfyUI, sample_heunpp2: Heun++ by Carzit",
    discard_penultimate: false,
    mask_noise_anew: false,
    run: heunpp2,
};

fn heunpp2(walk: &mut Walk<'_>, mut x: Tensor) -> Result<Tensor> {
    let (top, end) = (walk.sigmas[0], walk.sigmas[walk.sigmas.len() - 1]);
    for (step, sigma, next) in walk.steps() {
        let denoised = walk.guess(step, &x)?;
        let d = slope(&x, &denoised, sigma)?;
        let dt = next - sigma;
        if next == end {
            x = combine(&[(1.0, &x), (dt, &d)])?;
            continue;
        }
        let x2 = combine(&[(1.0, &x), (dt, &d)])?;
        let d2 = slope(&x2, &walk.denoise(&x2, next)?, next)?;
        let after = walk.sigmas[step + 2];
        x = if after == end {
            let w2 = next / (2.0 * top);
            combine(&[(1.0, &x), (dt * (1.0 - w2), &d), (dt * w2, &d2)])?
        } else {
            let x3 = combine(&[(1.0, &x2), (after - next, &d2)])?;
            let d3 = slope(&x3, &walk.denoise(&x3, after)?, after)?;
            let (w2, w3) = (next / (3.0 * top), after / (3.0 * top));
            combine(&[(1.0, &x), (dt * (1.0 - w2 - w3), &d), (dt * w2, &d2), (dt * w3, &d3)])?
        };
    }
    Ok(x)
}

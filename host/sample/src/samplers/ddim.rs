//! DDIM without added noise.

use super::{Sampler, euler::euler};

/// On the sigma scale its update is Euler's: √(1+σ²) cancels out of the formula, so the code is shared.
pub(super) const DDIM: Sampler = Sampler {
    name: "ddim",
    source: "Song et al. 2020 (arXiv:2010.02502), equation 12 with eta 0; equation 13 shows that it is Euler's method",
    discard_penultimate: false,
    mask_noise_anew: true,
    run: euler,
};

//! How a noisy latent is made of the clean one and noise.

/// A noisy latent is α·clean + σ·noise; the rule for α.
///
/// Most samplers need not know it: between two noise levels Euler's step is the same for both. Those that add fresh
/// noise, or that step in the signal-to-noise ratio, do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// α = 1: noise is added on top («variance exploding»). SD 1.x, 2.x and XL on the sigma scale.
    Added,
    /// α = 1 − σ: a straight line from noise to clean (flow matching). Flux.1.
    Flow {
        /// A sigma just below 1, used instead of 1 where the logarithm of the signal-to-noise ratio is needed.
        below_one: f64,
    },
}

impl Mix {
    /// How much of the clean latent is left at this noise level.
    pub fn alpha(&self, sigma: f64) -> f64 {
        match self {
            Self::Added => 1.0,
            Self::Flow { .. } => 1.0 - sigma,
        }
    }

    /// λ = ln(α / σ), half of the logarithm of the signal-to-noise ratio.
    pub fn lambda(&self, sigma: f64) -> f64 {
        (self.alpha(sigma) / sigma).ln()
    }

    /// The noise level of a λ.
    pub fn sigma(&self, lambda: f64) -> f64 {
        match self {
            Self::Added => (-lambda).exp(),
            Self::Flow { .. } => 1.0 / (1.0 + lambda.exp()),
        }
    }

    pub(crate) fn is_flow(&self) -> bool {
        matches!(self, Self::Flow { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_and_back() {
        for mix in [Mix::Added, Mix::Flow { below_one: 0.999 }] {
            for sigma in [0.03, 0.4, 0.97] {
                assert!((mix.sigma(mix.lambda(sigma)) - sigma).abs() < 1e-12, "{mix:?} {sigma}");
            }
        }
    }
}

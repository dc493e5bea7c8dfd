//! Losses and their weights as rows. To add one: a file with its row, and a line in [`LOSSES`] or [`WEIGHTINGS`].
//!
//! A loss compares prediction and target number by number; the result is averaged over channels, height and width,
//! then weighted for each image, then averaged over the batch.

mod cosmap;
mod debiased;
mod huber;
mod l1;
mod l2;
mod min_snr;
mod none;
mod sigma_sqrt;
mod smooth_l1;

use anyhow::{Result, bail};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Every loss, in the order in which menus and help show them.
pub const LOSSES: &[Loss] = &[l2::L2, l1::L1, huber::HUBER, smooth_l1::SMOOTH_L1];

/// Every weighting by timestep.
pub const WEIGHTINGS: &[Weighting] =
    &[none::NONE, min_snr::MIN_SNR, debiased::DEBIASED, sigma_sqrt::SIGMA_SQRT, cosmap::COSMAP];

/// One loss.
pub struct Loss {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where the formula is from.
    pub source: &'static str,
    /// (prediction, target, c) → loss of each number, all (b, c, h, w); c is (b, 1, 1, 1), where the loss turns from
    /// square to linear.
    pub apply: fn(&Tensor, &Tensor, &Tensor) -> candle_core::Result<Tensor>,
}

/// One weighting.
pub struct Weighting {
    /// Name in a configuration.
    pub name: &'static str,
    /// One line for help and menus.
    pub summary: &'static str,
    /// Where the formula is from.
    pub source: &'static str,
    /// What networks must predict for it to mean something.
    pub suits: fn(Prediction) -> bool,
    /// (signal-to-noise ratio, what the network predicts, gamma) → weight of an image's loss.
    pub weight: fn(f64, Prediction, f64) -> f64,
}

/// What the network outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// The noise.
    #[default]
    Epsilon,
    /// sqrt(ᾱ)·noise − sqrt(1 − ᾱ)·latent (Salimans and Ho 2022, arXiv:2202.00512).
    V,
    /// noise − latent, for flow matching (Liu et al. 2022, arXiv:2209.03003).
    Flow,
}

impl Prediction {
    /// Is noise put on along straight lines?
    pub fn is_flow(self) -> bool {
        self == Self::Flow
    }
}

/// σ of flow matching with this signal-to-noise ratio, ((1 − σ) / σ)².
fn flow_sigma(snr: f64) -> f64 {
    1.0 / (1.0 + snr.sqrt())
}

/// Factor for networks that predict v: min(snr, 1000) / (min(snr, 1000) + 1) makes their loss as that of one that
/// predicts noise. Source: sd-scripts, `get_snr_scale`.
pub fn noise_scale(snr: f64) -> f64 {
    let snr = snr.min(1000.0);
    snr / (snr + 1.0)
}

/// How c of the Huber losses depends on the timestep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HuberSchedule {
    /// c at all timesteps.
    Constant,
    /// From 1 at timestep 0 exponentially down to c.
    Exponential,
    /// From 1 down to c as the noise grows: (1 − c) / (1 + σ)² + c.
    #[default]
    Snr,
}

impl HuberSchedule {
    /// c at a place (0: picture, 1: noise) with this signal-to-noise ratio. Source: sd-scripts,
    /// `get_huber_threshold_if_needed`.
    pub fn c(self, c: f64, place: f64, snr: f64) -> f64 {
        match self {
            Self::Constant => c,
            Self::Exponential => (c.ln() * place).exp(),
            Self::Snr => (1.0 - c) / (1.0 + snr.sqrt().recip()).powi(2) + c,
        }
    }
}

/// The loss with this name.
pub fn find(name: &str) -> Result<&'static Loss> {
    match LOSSES.iter().find(|l| l.name == name) {
        Some(row) => Ok(row),
        None => bail!("unknown loss `{name}`; known: {}", LOSSES.iter().map(|l| l.name).collect::<Vec<_>>().join(", ")),
    }
}

/// The weighting with this name.
pub fn find_weighting(name: &str) -> Result<&'static Weighting> {
    match WEIGHTINGS.iter().find(|w| w.name == name) {
        Some(row) => Ok(row),
        None => {
            let known: Vec<_> = WEIGHTINGS.iter().map(|w| w.name).collect();
            bail!("unknown loss weighting `{name}`; known: {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_are_named_once_and_documented() {
        let rows = LOSSES.iter().map(|l| (l.name, l.summary, l.source));
        let rows: Vec<_> = rows.chain(WEIGHTINGS.iter().map(|w| (w.name, w.summary, w.source))).collect();
        for (i, row) in rows.iter().enumerate() {
            assert!(rows[..i].iter().all(|r| r.0 != row.0), "{}", row.0);
            assert!(!row.1.is_empty() && !row.2.is_empty(), "{}", row.0);
        }
    }

    #[test]
    fn no_loss_for_a_perfect_prediction_and_some_for_any_other() {
        let x = Tensor::new(&[[[[0.5f32, -3.0]]]], &Device::Cpu).unwrap();
        let y = (&x + 0.5).unwrap();
        let c = Tensor::new(&[[[[0.1f32]]]], &Device::Cpu).unwrap();
        for loss in LOSSES {
            let sum = |t: Tensor| t.sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(sum((loss.apply)(&x, &x, &c).unwrap()).abs() < 1e-6, "{}", loss.name);
            assert!(sum((loss.apply)(&x, &y, &c).unwrap()) > 0.01, "{}", loss.name);
        }
    }

    #[test]
    fn weights_are_positive_and_finite() {
        for row in WEIGHTINGS {
            for snr in [1e-3, 0.5, 1.0, 20.0, 1e6] {
                for prediction in [Prediction::Epsilon, Prediction::V, Prediction::Flow] {
                    if !(row.suits)(prediction) {
                        continue;
                    }
                    let w = (row.weight)(snr, prediction, 5.0);
                    assert!(w > 0.0 && w.is_finite(), "{} {snr}: {w}", row.name);
                }
            }
        }
    }
}

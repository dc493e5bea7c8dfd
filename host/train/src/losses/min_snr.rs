//! Timesteps with little noise count less, as they would otherwise dominate.

use super::{Prediction, Weighting};

pub(crate) const MIN_SNR: Weighting = Weighting {
    name: "min_snr",
    summary: "timesteps with little noise count less (`min_snr_gamma`); learns faster",
    source: "Hang et al. 2023 (arXiv:2303.09556), min(SNR, γ) / SNR; for v: / (SNR + 1)",
    suits: |p| !p.is_flow(),
    weight: |snr, prediction, gamma| match prediction {
        Prediction::Epsilon => snr.min(gamma) / snr,
        Prediction::V | Prediction::Flow => snr.min(gamma) / (snr + 1.0),
    },
};

//! Timesteps with much noise count more.

use super::{Prediction, Weighting};

/// Ratios above this count as this one.
const MAX_SNR: f64 = 1000.0;

pub(crate) const DEBIASED: Weighting = Weighting {
    name: "debiased",
    summary: "timesteps with much noise count more",
    source: "Yu et al. 2023 (arXiv:2310.08442), 1 / sqrt(SNR) with SNR at most 1000; for v: 1 / (SNR + 1)",
    suits: |p| !p.is_flow(),
    weight: |snr, prediction, _| {
        let snr = snr.min(MAX_SNR);
        match prediction {
            Prediction::Epsilon => 1.0 / snr.sqrt(),
            Prediction::V | Prediction::Flow => 1.0 / (snr + 1.0),
        }
    },
};

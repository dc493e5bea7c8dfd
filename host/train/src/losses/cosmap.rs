//! The middle of the path counts more (flow matching).

use super::{Weighting, flow_sigma};

pub(crate) const COSMAP: Weighting = Weighting {
    name: "cosmap",
    summary: "the middle of the path counts more (flow matching)",
    source: "Esser et al. 2024 (arXiv:2403.03206), section 3.1: 2 / (π·(1 − 2σ + 2σ²))",
    suits: |prediction| prediction.is_flow(),
    weight: |snr, _, _| {
        let sigma = flow_sigma(snr);
        2.0 / (std::f64::consts::PI * (1.0 - 2.0 * sigma + 2.0 * sigma * sigma))
    },
};

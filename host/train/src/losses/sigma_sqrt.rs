//! The less noise, the more a loss counts (flow matching).

use super::{Weighting, flow_sigma};

pub(crate) const SIGMA_SQRT: Weighting = Weighting {
    name: "sigma_sqrt",
    summary: "the less noise, the more it counts (flow matching)",
    source: "diffusers, compute_loss_weighting_for_sd3 `sigma_sqrt`: 1 / σ²",
    suits: |prediction| prediction.is_flow(),
    weight: |snr, _, _| flow_sigma(snr).powi(-2),
};

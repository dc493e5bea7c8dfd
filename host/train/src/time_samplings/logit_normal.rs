//! One of a thousand times, drawn with the density of a sigmoid of a normal number.

use super::{Draw, TimeSampling, squash};

pub(crate) const LOGIT_NORMAL: TimeSampling = TimeSampling {
    name: "logit_normal",
    summary: "one of a thousand times, drawn around `logit_mean` with spread `logit_std`",
    source: "Esser et al. 2024 (arXiv:2403.03206), section 3.1; sd-scripts, timestep_sampling `sigma` with \
             weighting_scheme `logit_normal`",
    draw: Draw::Normal,
    place: |n, shape| {
        let (mean, std) = shape.logit;
        // The table runs from noise to picture.
        let index = (squash(mean + std * n) * 1000.0).floor().min(999.0);
        (1000.0 - index) / 1000.0
    },
};

//! The sigmoid of a normal number: times in the middle more often.

use super::{Draw, TimeSampling, squash};

pub(crate) const SIGMOID: TimeSampling = TimeSampling {
    name: "sigmoid",
    summary: "the middle of the path more often than its ends; the usual choice for Flux",
    source: "Esser et al. 2024 (arXiv:2403.03206), section 3.1; sd-scripts, timestep_sampling `sigmoid`",
    draw: Draw::Normal,
    place: |n, shape| squash(n * shape.scale),
};

//! Every time as often as any other.

use super::{Draw, TimeSampling};

pub(crate) const UNIFORM: TimeSampling = TimeSampling {
    name: "uniform",
    summary: "every timestep as often as any other; the usual choice for SD 1.5 and SDXL",
    source: "Ho et al. 2020 (arXiv:2006.11239), Algorithm 1",
    draw: Draw::Uniform,
    place: |u, _| u,
};

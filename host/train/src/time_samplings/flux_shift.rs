//! As `sigmoid`, moved towards noise the more the larger the picture is.

use super::{Draw, TimeSampling, squash};

pub(crate) const FLUX_SHIFT: TimeSampling = TimeSampling {
    name: "flux_shift",
    summary: "as sigmoid, moved towards noise the more the larger the picture is, as Flux is sampled",
    source: "sd-scripts, timestep_sampling `flux_shift`: e^µ / (e^µ + 1/σ − 1), µ on a line from 0.5 at 256 tokens to \
             1.15 at 4096",
    draw: Draw::Normal,
    place: |n, shape| {
        let mu = sample::flux_mu(shape.tokens);
        mu.exp() / (mu.exp() + (1.0 / squash(n * shape.scale) - 1.0))
    },
};

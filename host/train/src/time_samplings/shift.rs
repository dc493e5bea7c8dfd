//! As `sigmoid`, moved towards noise by the same amount for every picture.

use super::{Draw, TimeSampling, shifted, squash};

pub(crate) const SHIFT: TimeSampling = TimeSampling {
    name: "shift",
    summary: "as sigmoid, moved towards noise by `flow_shift`: more for composition, less for detail",
    source: "sd-scripts, timestep_sampling `shift`: s·σ / (1 + (s − 1)·σ)",
    draw: Draw::Normal,
    place: |n, shape| shifted(squash(n * shape.scale), shape.shift),
};

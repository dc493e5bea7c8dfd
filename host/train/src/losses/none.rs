//! Every timestep counts the same.

use super::Weighting;

pub(crate) const NONE: Weighting = Weighting {
    name: "none",
    summary: "every timestep counts the same",
    source: "Ho et al. 2020 (arXiv:2006.11239), equation 14",
    suits: |_| true,
    weight: |_, _, _| 1.0,
};

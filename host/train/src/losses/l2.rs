//! Mean squared error.

use super::Loss;

pub(crate) const L2: Loss = Loss {
    name: "l2",
    summary: "mean squared error; the usual choice",
    source: "Ho et al. 2020 (arXiv:2006.11239), equation 14",
    apply: |prediction, target, _| (prediction - target)?.sqr(),
};

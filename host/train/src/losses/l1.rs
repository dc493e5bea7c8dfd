//! Mean absolute error.

use super::Loss;

pub(crate) const L1: Loss = Loss {
    name: "l1",
    summary: "mean absolute error",
    source: "torch.nn.functional.l1_loss",
    apply: |prediction, target, _| (prediction - target)?.abs(),
};

//! A straight first half, then a parabola; for flow models.

use super::Schedule;
use crate::SigmaTable;

pub(super) const LINEAR_QUADRATIC: Schedule = Schedule {
    name: "linear_quadratic",
    source: "Genmo, Mochi 1: linear_quadratic_schedule with threshold 0.025",
    sigmas: linear_quadratic,
};

const THRESHOLD: f64 = 0.025;

fn linear_quadratic(table: &SigmaTable, steps: usize) -> Vec<f64> {
    if steps == 1 {
        return vec![table.max(), 0.0];
    }
    let straight = (steps / 2) as f64;
    let bent = steps as f64 - straight;
    let difference = straight - THRESHOLD * steps as f64;
    let square = difference / (straight * bent * bent);
    let linear = THRESHOLD / straight - 2.0 * difference / (bent * bent);
    let constant = square * straight * straight;
    (0..=steps)
        .map(|i| {
            let x = i as f64;
            let done = if i == steps {
                1.0
            } else if x < straight {
                x * THRESHOLD / straight
            } else {
                square * x * x + linear * x + constant
            };
            (1.0 - done) * table.max()
        })
        .collect()
}

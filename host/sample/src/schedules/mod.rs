//! Which sigmas a sampler visits, one file per rule.

mod beta;
mod ddim_uniform;
mod exponential;
mod karras;
mod kl_optimal;
mod linear_quadratic;
mod normal;
mod sgm_uniform;
mod simple;

pub(crate) use beta::beta_quantiles;
pub use beta::with_shape as beta_of_shape;
pub use exponential::between as exponential_between;
pub use karras::between as karras_between;

use crate::SigmaTable;
use anyhow::{Context, Result};

/// Every schedule, in the order that menus show.
pub const SCHEDULES: &[Schedule] = &[
    normal::NORMAL,
    karras::KARRAS,
    exponential::EXPONENTIAL,
    sgm_uniform::SGM_UNIFORM,
    simple::SIMPLE,
    ddim_uniform::DDIM_UNIFORM,
    beta::BETA,
    linear_quadratic::LINEAR_QUADRATIC,
    kl_optimal::KL_OPTIMAL,
];

/// A rule that spaces noise levels.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The name in workflows («scheduler» there); ComfyUI's.
    pub name: &'static str,
    /// Where the rule is described.
    pub source: &'static str,
    /// (table, steps ≥ 1) → descending sigmas that end at 0: one more than steps, save where the source
    /// says otherwise.
    pub sigmas: fn(&SigmaTable, usize) -> Vec<f64>,
}

/// The schedule of this name.
///
/// # Errors
/// Lists the names when there is none.
pub fn schedule(name: &str) -> Result<&'static Schedule> {
    SCHEDULES.iter().find(|s| s.name == name).with_context(|| {
        let names: Vec<_> = SCHEDULES.iter().map(|s| s.name).collect();
        format!("unknown schedule `{name}`; there are {}", names.join(", "))
    })
}

/// `n` evenly spaced values from `start` to `end`, both included; one value is `start`.
fn linspace(start: f64, end: f64, n: usize) -> impl Iterator<Item = f64> {
    let last = n.saturating_sub(1).max(1) as f64;
    (0..n).map(move |i| start + (end - start) * i as f64 / last)
}

/// Ends the list at 0.
fn to_zero(sigmas: impl Iterator<Item = f64>) -> Vec<f64> {
    sigmas.chain([0.0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_descends_from_the_table_to_zero() {
        let table = SigmaTable::sd15();
        for row in SCHEDULES {
            for steps in [1, 2, 3, 7, 20, 28, 50, 150] {
                let sigmas = (row.sigmas)(&table, steps);
                assert!(sigmas.windows(2).all(|w| w[0] > w[1]), "{} {steps}: {sigmas:?}", row.name);
                assert_eq!(sigmas.last(), Some(&0.0), "{} {steps}", row.name);
                assert!(sigmas[0] <= table.max() + 1e-5 && sigmas.len() >= 2, "{} {steps}: {sigmas:?}", row.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_sources_named() {
        for (i, row) in SCHEDULES.iter().enumerate() {
            assert!(row.source.len() > 10);
            assert!(SCHEDULES[..i].iter().all(|other| other.name != row.name), "{} twice", row.name);
        }
        assert!(schedule("karas").unwrap_err().to_string().contains("karras"));
    }
}
